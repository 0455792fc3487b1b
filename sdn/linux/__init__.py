"""What a Linux kernel does with a frame in one of its bridges: the MAC table, the ports, and netfilter's verdict.

Values are parsed of what `ip`, `bridge` and `nft` print (`bridges`, `ruleset`), and judged by pure code (`match`, `judge`,
`passage`). Nothing here runs a command; sdn.transport.host_kernel reads a host, sdn.bundle a host's report.
"""
