"""Where the protocol core, the transport and the gateways meet."""
