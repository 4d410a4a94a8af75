"""Holds rows of octets and their outcomes. Each is run whole, octet by octet, and with another request after it.

`status` 0: accepted, with `requests` answered in order; otherwise the rejection, after the answers to `requests`.
Sections are of RFC 9112 unless another is named. The limits are those of `driver`.
"""

from typing import Final, NamedTuple

from tests.http1.driver import CHUNK_LINE_LIMIT, FIELDS_LIMIT, GET, HEAD_LIMIT, TARGET_LIMIT, TRAILER_LIMIT, Seen


class Case(NamedTuple):
    name: str
    octets: bytes
    requests: tuple[Seen, ...] = ()
    status: int = 0
    persists: bool = True


def head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((line, *fields, b"", b""))


def get(*fields: bytes) -> bytes:
    """A GET with a Host and these field lines."""
    return head(b"GET / HTTP/1.1", b"Host: a", *fields)


def post(body: bytes, *fields: bytes) -> bytes:
    return head(b"POST / HTTP/1.1", b"Host: a", *fields) + body


def chunked(body: bytes) -> bytes:
    return post(body, b"Transfer-Encoding: chunked")


def line(octets: bytes) -> bytes:
    """A request with this request line."""
    return head(octets, b"Host: a")


SEEN: Final = Seen("GET", b"/", b"")
METHOD_LIMIT: Final = 40


def seen(target: bytes = b"/", method: str = "GET", body: bytes = b"") -> tuple[Seen, ...]:
    return (Seen(method, target, body),)


def posted(body: bytes) -> tuple[Seen, ...]:
    return seen(method="POST", body=body)


def head_of(size: int) -> bytes:
    """A valid GET whose head has `size` octets, its empty line included."""
    return get(b"X: " + b"x" * (size - len(get(b"X: "))))


def ok(name: str, octets: bytes, requests: tuple[Seen, ...] = (SEEN,)) -> Case:
    return Case(name, octets, requests)


def last(name: str, octets: bytes, requests: tuple[Seen, ...] = (SEEN,)) -> Case:
    return Case(name, octets, requests, persists=False)


def bad(name: str, octets: bytes, status: int = 400) -> Case:
    return Case(name, octets, (), status)


REQUEST_LINES: Final = [
    ok("plain", GET),
    ok("head", line(b"HEAD / HTTP/1.1"), seen(method="HEAD")),
    ok("unknown method", line(b"FROB / HTTP/1.1"), seen(method="FROB")),
    ok("method that begins like another", line(b"GETS / HTTP/1.1"), seen(method="GETS")),
    ok("methods of the registry's letters, and others", line(b"gets / HTTP/1.1"), seen(method="gets")),
    ok("method of odd tchar", line(b"!#$%&'*+-.^_`|~0 / HTTP/1.1"), seen(method="!#$%&'*+-.^_`|~0")),
    ok("query", line(b"GET /a%20b;c?d=e&f?g/h HTTP/1.1"), seen(b"/a%20b;c?d=e&f?g/h")),
    ok("two slashes", line(b"GET //a//b HTTP/1.1"), seen(b"//a//b")),
    ok("HTTP/1.2 is served as 1.1 (RFC 9110, 2.5)", line(b"GET / HTTP/1.2")),
    ok("HTTP/1.9 is served as 1.1", line(b"GET / HTTP/1.9")),
    ok("one empty line before (2.2)", b"\r\n" + GET),
    ok("empty lines before", b"\r\n" * 5 + GET),
    ok("empty lines between", GET + b"\r\n\r\n" + GET, (SEEN, SEEN)),
    ok("empty line after a body", post(b"abc\r\n", b"Content-Length: 3") + GET, (*posted(b"abc"), SEEN)),
    last("HTTP/1.0", head(b"GET / HTTP/1.0")),
    last("HTTP/1.0 with a Host", line(b"GET / HTTP/1.0")),
    ok("HTTP/1.0 that asks to persist", head(b"GET / HTTP/1.0", b"Connection: keep-alive")),
    bad("HTTP/1.1 without Host (3.2)", head(b"GET / HTTP/1.1")),
    bad("HTTP/1.2 without Host", head(b"GET / HTTP/1.2")),
    bad("HTTP/2.0", line(b"GET / HTTP/2.0"), 505),
    bad("HTTP/3.1", line(b"GET / HTTP/3.1"), 505),
    bad("HTTP/0.9 by name", line(b"GET / HTTP/0.9"), 505),
    bad("HTTP/2 preface (RFC 9113, 3.4)", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    bad("HTTP/0.9", b"GET /\r\n\r\n"),
    bad("HTTP/0.9, fields", line(b"GET /")),
    bad("no target, no version", line(b"GET")),
    bad("no target", line(b"GET HTTP/1.1")),
    bad("empty target", line(b"GET  HTTP/1.1")),
    bad("nothing but spaces", line(b"  ")),
    bad("space only", line(b" ")),
    bad("empty method", line(b" / HTTP/1.1")),
    bad("empty version", line(b"GET / ")),
    bad("lower-case version", line(b"GET / http/1.1")),
    bad("version without a dot", line(b"GET / HTTP/11")),
    bad("version, comma", line(b"GET / HTTP/1,1")),
    bad("version of two digits", line(b"GET / HTTP/1.10")),
    bad("version 11.1", line(b"GET / HTTP/11.1")),
    bad("version 01.1", line(b"GET / HTTP/01.1")),
    bad("version 1.", line(b"GET / HTTP/1.")),
    bad("version 1.x", line(b"GET / HTTP/1.x")),
    bad("version x.1", line(b"GET / HTTP/x.1")),
    bad("version +1.1", line(b"GET / HTTP/+.1")),
    bad("version of another protocol", line(b"GET / RTSP/1.0")),
    bad("version with an octet after", line(b"GET / HTTP/1.1x")),
    bad("version, superscript", line(b"GET / HTTP/1.\xb9")),
    bad("two spaces before the version", line(b"GET /  HTTP/1.1")),
    bad("two spaces before the target", line(b"GET  / HTTP/1.1")),
    bad("space after the line", line(b"GET / HTTP/1.1 ")),
    bad("space before the line", line(b" GET / HTTP/1.1")),
    bad("tab before the version", line(b"GET /\tHTTP/1.1")),
    bad("tab before the target", line(b"GET\t/ HTTP/1.1")),
    bad("tabs for spaces", line(b"GET\t/\tHTTP/1.1")),
    bad("tab after the line", line(b"GET / HTTP/1.1\t")),
    bad("vertical tab for a space", line(b"GET\x0b/ HTTP/1.1")),
    bad("form feed for a space", line(b"GET /\x0cHTTP/1.1")),
    bad("NBSP for a space", line(b"GET /\xa0HTTP/1.1")),
    bad("space in the target", line(b"GET /a b HTTP/1.1")),
    bad("no token as a method", line(b"G(T / HTTP/1.1")),
    bad("colon in the method", line(b"GET: / HTTP/1.1")),
    bad("non-ASCII method", line("GÉT / HTTP/1.1".encode())),
    bad("method with NUL", line(b"GE\x00T / HTTP/1.1")),
    bad("TLS greeting", bytes.fromhex("16030100c8010000c403035a0d0a0d0a") + b"\x00" * 190),
    bad("old TLS greeting", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\x01" * 35),
    bad("NUL first", b"\x00" + GET),
    bad("byte order mark first", b"\xef\xbb\xbf" + GET),
    bad("PROXY protocol, version 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x01" * 12),
    bad("PROXY protocol, version 1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n" + GET),
    bad("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("LF before", b"\n" + GET),
    bad("CR before", b"\r" + GET),
    bad("CRLF CR before", b"\r\n\r" + GET),
    bad("CR LF LF before", b"\r\n\n" + GET),
    bad("space and CRLF before", b" \r\n" + GET),
]

TARGETS: Final = [
    ok("absolute-form", line(b"GET http://b/c?d HTTP/1.1"), seen(b"http://b/c?d")),
    ok("absolute-form, no path", line(b"GET http://b HTTP/1.1"), seen(b"http://b")),
    ok("absolute-form, query without a path", line(b"GET http://b?c HTTP/1.1"), seen(b"http://b?c")),
    ok("absolute-form, port", line(b"GET https://b:8443/ HTTP/1.1"), seen(b"https://b:8443/")),
    ok("absolute-form, scheme in capitals", line(b"GET HTTP://b/ HTTP/1.1"), seen(b"HTTP://b/")),
    ok("absolute-form, address", line(b"GET http://[::1]:80/ HTTP/1.1"), seen(b"http://[::1]:80/")),
    last("absolute-form in HTTP/1.0", head(b"GET http://b/ HTTP/1.0"), seen(b"http://b/")),
    ok("asterisk-form", line(b"OPTIONS * HTTP/1.1"), seen(b"*", "OPTIONS")),
    ok("what looks like a URL in a path", line(b"GET /http://b/ HTTP/1.1"), seen(b"/http://b/")),
    ok("dots are the application's", line(b"GET /a/../b HTTP/1.1"), seen(b"/a/../b")),
    bad("absolute-form without Host (3.2)", head(b"GET http://b/ HTTP/1.1")),
    bad("asterisk of another method", line(b"GET * HTTP/1.1")),
    bad("asterisk and more", line(b"OPTIONS *a HTTP/1.1")),
    bad("asterisk and query", line(b"OPTIONS *?a HTTP/1.1")),
    bad("CONNECT", head(b"CONNECT a:80 HTTP/1.1", b"Host: a:80"), 501),
    bad("CONNECT, origin-form", line(b"CONNECT / HTTP/1.1"), 501),
    bad("authority-form of another method", line(b"GET a:80 HTTP/1.1")),
    bad("relative path", line(b"GET a/b HTTP/1.1")),
    bad("query alone", line(b"GET ?a HTTP/1.1")),
    bad("other scheme", line(b"GET ftp://b/ HTTP/1.1")),
    bad("no scheme", line(b"GET ://b/ HTTP/1.1")),
    bad("scheme without authority", line(b"GET http: HTTP/1.1")),
    bad("one slash", line(b"GET http:/b HTTP/1.1")),
    bad("empty authority", line(b"GET http:// HTTP/1.1")),
    bad("empty authority, path", line(b"GET http:///b HTTP/1.1")),
    bad("empty authority, query", line(b"GET http://?b HTTP/1.1")),
    bad("user in the authority (RFC 9110, 4.2.4)", line(b"GET http://u@b/ HTTP/1.1")),
    bad("user and password in the authority", line(b"GET http://u:p@b/ HTTP/1.1")),
    bad("port alone", line(b"GET http://:80/ HTTP/1.1")),
    bad("port of letters", line(b"GET http://b:c/ HTTP/1.1")),
    bad("percent without hexadecimal digits in the authority", line(b"GET http://a%zz/ HTTP/1.1")),
    bad("brackets without an address in the authority", line(b"GET http://[zz]/ HTTP/1.1")),
    bad("URL in a query only", line(b"GET a?http://b/ HTTP/1.1")),
    bad("fragment (3.2)", line(b"GET /a#b HTTP/1.1")),
    bad("fragment alone", line(b"GET # HTTP/1.1")),
    bad("fragment of an absolute-form", line(b"GET http://b/#c HTTP/1.1")),
    bad("non-ASCII target", line("GET /ä HTTP/1.1".encode())),
    bad("target with NUL", line(b"GET /\x00 HTTP/1.1")),
    bad("target with DEL", line(b"GET /\x7f HTTP/1.1")),
    bad("target with CR", line(b"GET /\ra HTTP/1.1")),
    bad("target with LF", line(b"GET /\na HTTP/1.1")),
    ok(
        "longest target",
        line(b"GET /" + b"a" * (TARGET_LIMIT - 1) + b" HTTP/1.1"),
        seen(b"/" + b"a" * (TARGET_LIMIT - 1)),
    ),
    bad("target one octet too long", line(b"GET /" + b"a" * TARGET_LIMIT + b" HTTP/1.1"), 414),
    bad("target much too long", line(b"GET /" + b"a" * 1000 + b" HTTP/1.1"), 414),
    bad("target longer than a head", line(b"GET /" + b"a" * 2 * HEAD_LIMIT + b" HTTP/1.1"), 414),
    bad("target that has no end", b"GET /" + b"a" * 500, 414),
    ok(
        "longest request line",
        line(b"M" * METHOD_LIMIT + b" /" + b"a" * (TARGET_LIMIT - 1) + b" HTTP/1.1"),
        seen(b"/" + b"a" * (TARGET_LIMIT - 1), method="M" * METHOD_LIMIT),
    ),
    bad("method one octet too long", line(b"M" * (METHOD_LIMIT + 1) + b" / HTTP/1.1"), 501),
    bad("method without end", b"M" * 300, 501),
    *(bad(f"methods tell cases apart: {method!r}", line(method + b" / HTTP/1.1"), 501) for method in (b"get", b"Head")),
    bad("not HTTP, though its first octet could be", b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    bad("no version", b"GET /\r\n", 400),
    bad("spaces without end", b"GET" + b" " * 300, 414),
]

HOSTS: Final = [
    *(
        ok(f"Host {host!r}", head(b"GET / HTTP/1.1", b"Host: " + host))
        for host in (
            b"",
            b"example.com",
            b"EXAMPLE.com:8080",
            b"example.com:",
            b"192.0.2.1:80",
            b"[::1]",
            b"[2001:db8::1]:443",
            b"[::ffff:192.0.2.1]",
            b"[v1.fe80::a+en1]",
            b"a_b-c~d",
            b"%C3%A4.example",
            b"%c3%a4.example",
            b"a:99999",
            b"a" * 300,
        )
    ),
    *(
        bad(f"Host {host!r}", head(b"GET / HTTP/1.1", b"Host: " + host))
        for host in (
            b"a b",
            b"a, b",
            b"a/b",
            b"a?b",
            b"a#b",
            b"u@a",
            b"a:b",
            b"a:80:80",
            b"a:-1",
            b"a:+80",
            b"a:8 0",
            b":80",
            b":",
            b"::1",
            b"[::1",
            b"[]",
            b"[::1]80",
            b"[::1]:x",
            b"[::1]:80x",
            b"[a b]",
            b"[[::1]]",
            b"http://a",
            b"a\\b",
            b'"a"',
            b"<a>",
            b"a\tb",
            "ä".encode(),
            b"a\x00",
            b"a%",
            b"a%4",
            b"a%zz",
            b"a%%41",
            b"[zz]",
            b"[;]",
            b"[1:2:3:4:5:6:7]",
            b"[1:2:3:4:5:6:7:8:9]",
            b"[192.0.2.1]",
            b"[fe80::1%eth0]",
            b"[fe80::1%25eth0]",
            b"[v1]",
        )
    ),
    bad("Host twice", get(b"Host: b")),
    bad("Host twice, alike", get(b"Host: a")),
    bad("Host twice, one empty", get(b"Host:")),
    bad("Host twice in HTTP/1.0", head(b"GET / HTTP/1.0", b"Host: a", b"host: a")),
    bad("Host twice, absolute-form", head(b"GET http://a/ HTTP/1.1", b"Host: a", b"Host: b")),
    bad("Host of an absolute-form malformed", head(b"GET http://a/ HTTP/1.1", b"Host: a/b")),
    bad("Host malformed in HTTP/1.0", head(b"GET / HTTP/1.0", b"Host: a/b")),
    bad("space before the colon of Host", head(b"GET / HTTP/1.1", b"Host : a")),
    bad("folded Host", head(b"GET / HTTP/1.1", b"Host:", b" a")),
]

FIELDS: Final = [
    ok("white space around a value", get(b"X:  \t a \t ")),
    ok("empty value", get(b"X:")),
    ok("obs-text", get(b"X: \x80\xff")),
    ok("the same name twice", get(b"X: a", b"X: b")),
    bad("space before the colon (5.1)", get(b"X : a")),
    bad("tab before the colon", get(b"X\t: a")),
    bad("empty name", get(b": a")),
    bad("colon alone", get(b":")),
    bad("no colon", get(b"X")),
    bad("no token as a name", get(b"X(Y): a")),
    bad("name with a space", get(b"X Y: a")),
    bad("name with NUL", get(b"X\x00: a")),
    bad("name with a quote", get(b'"X": a')),
    bad("non-ASCII name", get("Ä: a".encode())),
    bad("obsolete folding, space (5.2)", get(b"X: a", b" b")),
    bad("obsolete folding, tab", get(b"X: a", b"\tb")),
    bad("obsolete folding that hides a field", get(b"X: a", b" Content-Length: 3")),
    bad("folding of nothing", get(b"X: a", b" ")),
    bad("white space before the first field (2.2)", head(b"GET / HTTP/1.1", b" Host: a")),
    bad("tab before the first field", head(b"GET / HTTP/1.1", b"\tX: b", b"Host: a")),
    bad("NUL in a value", get(b"X: a\x00b")),
    bad("bare CR in a value", get(b"X: a\rb")),
    bad("bare CR after a value", get(b"X: a\r")),
    bad("bare CR before a value", get(b"X: \ra")),
    bad("bare CR that hides a field", get(b"X: a\rContent-Length: 3")),
    bad("bare LF in a value", get(b"X: a\nb")),
    bad("bare LF that hides a field", get(b"X: a\nContent-Length: 3")),
    bad("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    bad("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    bad("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    bad("bare LF throughout", b"GET / HTTP/1.1\nHost: a\n\n"),
    bad("LF CR", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    bad("CR throughout", b"GET / HTTP/1.1\rHost: a\r\r" + b"\r\n\r\n"),
    bad("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    bad("CR CR LF after a field", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    bad("DEL in a value", get(b"X: a\x7f")),
    bad("escape in a value", get(b"X: \x1b[2J")),
    bad("control octet in a known field", get(b"Accept: a\x01")),
    ok("most field lines", get(*[b"X: a"] * (FIELDS_LIMIT - 1))),
    bad("one field line too many", get(*[b"X: a"] * FIELDS_LIMIT), 431),
    bad("field lines without end", head(b"GET / HTTP/1.1", b"Host: a", *[b"X: a"] * 1000), 431),
    ok("largest head", head_of(HEAD_LIMIT)),
    bad("head one octet too large", head_of(HEAD_LIMIT + 1), 431),
    bad("head two octets too large", head_of(HEAD_LIMIT + 2), 431),
    bad("head much too large", head_of(5 * HEAD_LIMIT), 431),
    bad("head without end", b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_LIMIT, 431),
    Case("second head one octet too large", GET + head_of(HEAD_LIMIT + 1), (SEEN,), 431),
    ok("second head just large enough", GET + head_of(HEAD_LIMIT), (SEEN, SEEN)),
    ok("largest head after an empty line", b"\r\n" + head_of(HEAD_LIMIT)),
]

OPTIONS: Final = [
    last("close", get(b"Connection: close")),
    last("Close", get(b"Connection: Close")),
    last("close between others", get(b"Connection: x , CLOSE\t,y")),
    last("close in the second of three lines", get(b"Connection: x", b"connection: close", b"Connection: keep-alive")),
    last("close and keep-alive", get(b"Connection: keep-alive, close")),
    last("close in HTTP/1.0", head(b"GET / HTTP/1.0", b"Connection: keep-alive, close")),
    last("what comes after close is not looked at", get(b"Connection: close") + b"\x00\r\n\r\n"),
    ok("not close", get(b"Connection: closed, x-close, close;a, clo se")),
    ok("close elsewhere", get(b"Proxy-Connection: close", b"X: Connection: close")),
    ok("keep-alive", get(b"Connection: keep-alive", b"Keep-Alive: timeout=5, max=100")),
    ok("empty", get(b"Connection:")),
    ok("commas", get(b"Connection: ,, ,")),
    ok("TE", get(b"TE: trailers, deflate;q=0.5", b"Connection: TE")),
    ok("TE, empty", get(b"TE:")),
    ok("Expect without a body", get(b"Expect: 100-continue")),
    ok("Expect, body sent at once", post(b"abc", b"Content-Length: 3", b"Expect: 100-continue"), posted(b"abc")),
    ok("Expect, capitals", post(b"abc", b"Content-Length: 3", b"Expect: 100-Continue"), posted(b"abc")),
    ok(
        "Expect, chunked",
        post(b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", b"Expect: 100-continue"),
        posted(b"abc"),
    ),
    last(
        "Expect in HTTP/1.0",
        head(b"POST / HTTP/1.0", b"Content-Length: 3", b"Expect: 100-continue") + b"abc",
        posted(b"abc"),
    ),
    bad("Expect of something else (RFC 9110, 10.1.1)", get(b"Expect: 200-ok"), 417),
    bad("Expect of something more", get(b"Expect: 100-continue, x=y"), 417),
    ok("Expect of nothing", get(b"Expect:")),
    ok("Expect with an empty member", post(b"abc", b"Content-Length: 3", b"Expect: 100-continue,"), posted(b"abc")),
    ok(
        "Expect of the same twice",
        post(b"abc", b"Content-Length: 3", b"Expect: 100-continue, 100-continue"),
        posted(b"abc"),
    ),
    bad("Expect with a parameter", get(b"Expect: 100-continue;x"), 417),
    bad("a second Expect", get(b"Expect: 100-continue", b"Expect: x"), 417),
]

LENGTHS: Final = [
    ok("Content-Length", post(b"hello", b"Content-Length: 5"), posted(b"hello")),
    ok("Content-Length 0", post(b"", b"Content-Length: 0"), posted(b"")),
    ok("Content-Length 00", post(b"", b"Content-Length: 00"), posted(b"")),
    ok("Content-Length 005", post(b"hello", b"Content-Length: 005"), posted(b"hello")),
    ok("Content-Length of a GET", get(b"Content-Length: 5") + b"hello", seen(body=b"hello")),
    ok("white space around a length", post(b"hello", b"Content-Length:  \t5\t "), posted(b"hello")),
    ok("19 digits", post(b"hello", b"Content-Length: 0000000000000000005"), posted(b"hello")),
    ok("no length, no body", post(b""), posted(b"")),
    ok("a body that looks like a request", post(GET, b"Content-Length: %d" % len(GET)), posted(GET)),
    ok("a body of CRLF", post(b"\r\n\r\n", b"Content-Length: 4"), posted(b"\r\n\r\n")),
    ok("a body of any octets", post(bytes(range(256)), b"Content-Length: 256"), posted(bytes(range(256)))),
    *(
        bad(f"Content-Length {value!r}", post(b"hello", b"Content-Length: " + value))
        for value in (
            b"",
            b"+5",
            b"-5",
            b"-0",
            b"0x5",
            b"5_0",
            b"5 0",
            b"5,",
            b",5",
            b"5, 5",
            b"5,5",
            b"5, 6",
            b"5;5",
            b"5.0",
            b"5e0",
            b"five",
            b"'5'",
            b'"5"',
            b"\xb25",
            "\u0665".encode(),
            b"\x0b5",
            b"5\x0c",
            b"5\x00",
            b"5\r6",
            b"00000000000000000005",
            b"99999999999999999999",
            b"18446744073709551621",
            b"5" * 200,
        )
    ),
    bad("differing lengths", post(b"hello", b"Content-Length: 5", b"Content-Length: 6")),
    bad("equal lengths", post(b"hello", b"Content-Length: 5", b"Content-Length: 5")),
    bad("equal lengths, 0", post(b"", b"Content-Length: 0", b"content-length: 0")),
    bad("a length and an empty one", post(b"hello", b"Content-Length: 5", b"Content-Length:")),
    bad("an empty length and another", post(b"hello", b"Content-Length:", b"Content-Length: 5")),
    bad("folded length", post(b"hello", b"Content-Length:", b" 5")),
    bad("space before the colon of a length", post(b"hello", b"Content-Length : 5")),
    last(
        "HTTP/1.0 with a length",
        head(b"POST / HTTP/1.0", b"Content-Length: 5") + b"hello",
        posted(b"hello"),
    ),
]

CODINGS: Final = [
    ok("chunked", chunked(b"5\r\nhello\r\n0\r\n\r\n"), posted(b"hello")),
    ok("Chunked", post(b"5\r\nhello\r\n0\r\n\r\n", b"transfer-encoding:\tChunked "), posted(b"hello")),
    ok("chunked of a GET", get(b"Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n\r\n", seen(body=b"a")),
    bad(
        "Content-Length and Transfer-Encoding (6.1)",
        post(b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ),
    bad(
        "Transfer-Encoding and Content-Length", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Content-Length: 5")
    ),
    bad(
        "Content-Length 0 and Transfer-Encoding",
        post(b"0\r\n\r\n", b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    ),
    bad(
        "Content-Length and Transfer-Encoding: identity",
        post(b"abc", b"Content-Length: 3", b"Transfer-Encoding: identity"),
    ),
    bad("Transfer-Encoding in HTTP/1.0 (6.1)", head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    bad(
        "Transfer-Encoding in HTTP/1.0 that persists",
        head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked", b"Connection: keep-alive") + b"0\r\n\r\n",
    ),
    *(
        bad(f"Transfer-Encoding {value!r}", post(b"0\r\n\r\n", b"Transfer-Encoding: " + value))
        for value in (
            b"",
            b",",
            b"identity",
            b"gzip",
            b"xchunked",
            b"chunkedx",
            b"chunked;q=1",
            b"chunked ;",
            b'"chunked"',
            b"chunk ed",
            b"chunked\x0b",
            b"\x0bchunked",
            b"chunked\x00",
            b"chunked\xa0",
            b"chunked, gzip",
            b"chunked, identity",
            b"chunked, chunked",
            b"chunked,chunked",
            b"gzip, chunked, chunked",
            b"chunked, gzip, chunked",
            b"chunked,",
            b"chunked ,",
            b",chunked",
            b" , chunked",
            b"gzip,, chunked",
            b"(x), chunked",
            b"gzip chunked",
            b"gzip; chunked",
        )
    ),
    bad("chunked in two lines", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    bad(
        "chunked, then another in its own line",
        post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"),
    ),
    bad("chunked, then an empty line of it", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Transfer-Encoding:")),
    bad("folded Transfer-Encoding", post(b"0\r\n\r\n", b"Transfer-Encoding:", b" chunked")),
    bad("space before the colon of Transfer-Encoding", post(b"0\r\n\r\n", b"Transfer-Encoding : chunked")),
    bad("gzip, chunked (6.1)", post(b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked"), 501),
    bad("identity, chunked", post(b"0\r\n\r\n", b"Transfer-Encoding: identity, chunked"), 501),
    bad("x;y=z, chunked", post(b"0\r\n\r\n", b"Transfer-Encoding: x;y=z, chunked"), 501),
    bad(
        "gzip and chunked in two lines",
        post(b"0\r\n\r\n", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        501,
    ),
]

CHUNKS: Final = [
    ok("no chunk", chunked(b"0\r\n\r\n"), posted(b"")),
    ok("last chunk of many zeros", chunked(b"0000000000000000\r\n\r\n"), posted(b"")),
    ok("several chunks", chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), posted(b"abc")),
    ok("hexadecimal, lower case", chunked(b"a\r\n0123456789\r\n0\r\n\r\n"), posted(b"0123456789")),
    ok("hexadecimal, capitals", chunked(b"0B\r\n0123456789A\r\n0\r\n\r\n"), posted(b"0123456789A")),
    ok("16 digits", chunked(b"0000000000000001\r\na\r\n0\r\n\r\n"), posted(b"a")),
    ok("chunk that looks like chunks", chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"), posted(b"0\r\n\r\n")),
    *(
        bad(f"chunk size {size!r}", chunked(size + b"\r\nhello\r\n0\r\n\r\n"))
        for size in (
            b"",
            b" ",
            b"+5",
            b"-5",
            b"0x5",
            b"0X5",
            b"5_0",
            b"x5",
            b"5h",
            b"5,",
            b"5 5",
            b" 5",
            b"\t5",
            b"5 ",
            b"5\t",
            b"5\x0b",
            b"5\x00",
            b"5\r",
            b"\r5",
            b";a",
            b" ;a",
            b" 5;a",
            b"+5;a",
            b"00000000000000005",
            b"ffffffffffffffff5",
            b"FFFFFFFFFFFFFFFFF",
            "\uff15".encode(),
        )
    ),
    bad("bare LF after a size", chunked(b"5\nhello\r\n0\r\n\r\n")),
    bad("bare LF after an extension", chunked(b"5;a\nhello\r\n0\r\n\r\n")),
    bad("bare LF after data", chunked(b"5\r\nhello\n0\r\n\r\n")),
    bad("bare LF after the last chunk", chunked(b"5\r\nhello\r\n0\n\r\n")),
    bad("bare LF as the end", chunked(b"5\r\nhello\r\n0\r\n\n")),
    bad("bare LF after a trailer", chunked(b"0\r\nX: a\n\r\n")),
    bad("CR after data", chunked(b"5\r\nhello\r0\r\n\r\n")),
    bad("CR CR LF after data", chunked(b"5\r\nhello\r\r\n0\r\n\r\n")),
    bad("nothing after data", chunked(b"5\r\nhello0\r\n\r\n")),
    bad("data longer than its size", chunked(b"5\r\nhello!\r\n0\r\n\r\n")),
    bad("data shorter than its size", chunked(b"7\r\nhello\r\n0\r\n\r\n")),
    bad("data one shorter than its size", chunked(b"6\r\nhello\r\n0\r\n\r\n")),
    bad("two CRLF after data", chunked(b"5\r\nhello\r\n\r\n0\r\n\r\n")),
    bad("content that is not chunked", chunked(b"hello world\r\n")),
    bad("size that has no end", chunked(b"0" * (CHUNK_LINE_LIMIT + 100)), 413),
    ok("extension", chunked(b"5;a\r\nhello\r\n0\r\n\r\n"), posted(b"hello")),
    ok("extension with a value", chunked(b'5;a=b;c="d e"\r\nhello\r\n0;x=y\r\n\r\n'), posted(b"hello")),
    ok("white space around an extension (7.1.1)", chunked(b"5 \t; a = b\r\nhello\r\n0\r\n\r\n"), posted(b"hello")),
    ok("obs-text in an extension", chunked(b'5;a="\xe4"\r\nhello\r\n0\r\n\r\n'), posted(b"hello")),
    ok("semicolon in a quoted string", chunked(b'5;a=";b="\r\nhello\r\n0\r\n\r\n'), posted(b"hello")),
    ok("quoted pairs (RFC 9110, 5.6.4)", chunked(b'5;a="\\"\\\\;";b\r\nhello\r\n0\r\n\r\n'), posted(b"hello")),
    *(
        bad(f"extension {extension!r}", chunked(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"))
        for extension in (
            b";",
            b"; ",
            b";a;",
            b";=b",
            b";a=",
            b';a="b',
            b';a="\\"',
            b";a b",
            b";a ",
            b";(a)",
            b';a="b"c',
        )
    ),
    bad("extension of the last chunk without a name", chunked(b"5\r\nhello\r\n0;\r\n\r\n")),
    bad("bare CR in an extension that has no end", chunked(b"5;a\rb")),
    bad("bare CR in a trailer line that has no end", chunked(b"0\r\nX: a\rb")),
    *(
        bad(f"extension with {octet!r}", chunked(b"5;a=" + octet + b"b\r\nhello\r\n0\r\n\r\n"))
        for octet in (b"\x00", b"\x01", b"\x0b", b"\x1f", b"\x7f", b"\r", b"\n", b"\r\r")
    ),
    ok(
        "longest extension",
        chunked(b"1;" + b"a" * (CHUNK_LINE_LIMIT - 4) + b"\r\nx\r\n0\r\n\r\n"),
        posted(b"x"),
    ),
    bad("extension too long", chunked(b"1;" + b"a" * (CHUNK_LINE_LIMIT - 1) + b"\r\nx\r\n0\r\n\r\n"), 413),
    bad("extension much too long", chunked(b"1;" + b"a" * 1000 + b"\r\nx\r\n0\r\n\r\n"), 413),
    bad("extension that has no end", chunked(b"1;" + b"a" * 1000), 413),
    bad("extensions without end", chunked(b"1;aaaaaaaa\r\nx\r\n" * 50 + b"0\r\n\r\n"), 413),
    ok("trailer", chunked(b"1\r\na\r\n0\r\nX: a\r\nY:\r\n\r\n"), posted(b"a")),
    ok("trailer of what decides in a head", chunked(b"0\r\nContent-Length: 5\r\nHost: b\r\n\r\n"), posted(b"")),
    ok("trailer of a coding", chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), posted(b"")),
    bad("trailer without a colon", chunked(b"0\r\nX\r\n\r\n")),
    bad("trailer, space before the colon", chunked(b"0\r\nX : a\r\n\r\n")),
    bad("trailer, folded", chunked(b"0\r\nX: a\r\n b\r\n\r\n")),
    bad("trailer, empty name", chunked(b"0\r\n: a\r\n\r\n")),
    bad("trailer with NUL", chunked(b"0\r\nX: \x00\r\n\r\n")),
    bad("trailer with CR", chunked(b"0\r\nX: a\rb\r\n\r\n")),
    bad("a request where the trailer should end", chunked(b"0\r\n" + GET)),
    bad("trailer line too long", chunked(b"0\r\nX: " + b"a" * TRAILER_LIMIT + b"\r\n\r\n"), 431),
    bad("trailer line that has no end", chunked(b"0\r\nX: " + b"a" * 1000), 431),
    bad("trailer too large", chunked(b"0\r\n" + (b"X: " + b"a" * 40 + b"\r\n") * 3 + b"\r\n"), 431),
    ok("most trailer lines", chunked(b"0\r\n" + b"X:\r\n" * FIELDS_LIMIT + b"\r\n"), posted(b"")),
    bad("one trailer line too many", chunked(b"0\r\n" + b"X:\r\n" * (FIELDS_LIMIT + 1) + b"\r\n"), 431),
    bad("trailer without end", chunked(b"0\r\n" + b"X:\r\n" * 1000), 431),
]

PIPELINES: Final = [
    ok("two", GET + line(b"GET /b HTTP/1.1"), (SEEN, *seen(b"/b"))),
    ok(
        "many",
        b"".join(line(b"GET /%d HTTP/1.1" % n) for n in range(50)),
        tuple(Seen("GET", b"/%d" % n, b"") for n in range(50)),
    ),
    ok(
        "bodies of each kind",
        post(b"abc", b"Content-Length: 3") + chunked(b"3\r\ndef\r\n0\r\n\r\n") + GET,
        (*posted(b"abc"), *posted(b"def"), SEEN),
    ),
    ok(
        "body and expectation",
        GET + post(b"abc", b"Content-Length: 3", b"Expect: 100-continue"),
        (SEEN, *posted(b"abc")),
    ),
    Case("good before bad", GET + GET + b"GET  HTTP/1.1\r\n\r\n", (SEEN, SEEN), 400),
    Case("good before garbage", GET + b"\x00", (SEEN,), 400),
    Case("good before a bad body", GET + chunked(b"x\r\n"), (SEEN,), 400),
    Case(
        "good with a body before a bad length",
        post(b"abc", b"Content-Length: 3") + get(b"Content-Length: x"),
        posted(b"abc"),
        400,
    ),
    Case("a body one octet longer than said", post(b"hello\x00", b"Content-Length: 5"), posted(b"hello"), 400),
    last("nothing after close", GET + get(b"Connection: close") + GET, (SEEN, SEEN)),
    last("HTTP/1.0 ends a pipeline", GET + head(b"GET / HTTP/1.0") + GET, (SEEN, SEEN)),
    last("close spoils nothing", get(b"Connection: close") + b"garbage\n\n"),
    Case("nothing after a rejection", GET + b"GET\r\n\r\n" + GET, (SEEN,), 400),
]

CASES: Final = [*REQUEST_LINES, *TARGETS, *HOSTS, *FIELDS, *OPTIONS, *LENGTHS, *CODINGS, *CHUNKS, *PIPELINES]
