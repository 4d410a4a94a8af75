-- The requests that wrk sends, and its report. Arguments: a file with a request, in which each "@"
-- becomes a number that counts up; the number of requests sent at once; the number of connections.

local template, n, worker

function setup(thread) worker = thread end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a"):rep(tonumber(args[2]))
  file:close()
  template, n, connections = {}, 0, args[3]
  for part in (text .. "@"):gmatch("([^@]*)@") do template[#template + 1] = part end
end

function request()
  if #template == 1 then return template[1] end
  n = n + 1
  return table.concat(template, n)
end

-- wrk adds estimated latencies to the measured ones, below each that is twice the mean interval or
-- more ("correction for coordinated omission", src/stats.c), and fails to do so with pipelining.
-- Removed again from the greatest down, they leave the latencies as measured.
local function measured(latency, interval)
  local values, counts, total = {}, {}, 0
  for i = 1, #latency do
    local value, count = latency(i)
    values[i], counts[value] = value, count
  end
  for i = #values, 1, -1 do
    local made_up = values[i] - interval
    while values[i] >= 2 * interval and made_up > interval do
      counts[made_up] = (counts[made_up] or 0) - counts[values[i]]
      made_up = made_up - interval
    end
    total = total + counts[values[i]]
  end
  return values, counts, total
end

function done(summary, latency, _)
  local errors, percentile, seen = summary.errors, {}, 0
  local interval = math.floor(summary.duration / math.max(1, math.floor(summary.requests / worker:get("connections"))))
  local values, counts, total = measured(latency, interval)
  for _, value in ipairs(values) do
    seen = seen + counts[value]
    if seen >= total * 0.50 then percentile[50] = percentile[50] or value end
    if seen >= total * 0.99 then percentile[99] = percentile[99] or value end
  end
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "latencies": %d, "p50_us": %d, "p99_us": %d, "errors": %d, "refused": %d}\n',
    summary.requests, summary.duration / 1e6, total, percentile[50] or 0, percentile[99] or 0,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
