import Glibc
import Runtime

let usage = """
    greymesh-sample: services and traffic to try Greymesh with

      greymesh-sample http  --service NAME  [--version V] [options]
      greymesh-sample dubbo --interface NAME [--version V] [--group G] [--tag T] [--application A] [options]
      greymesh-sample bolt  --interface NAME [--version V] [--unique-id U] [--release R] [options]
          --listen ADDR       default 127.0.0.1:0; prints READY http|dubbo|bolt ADDR
          --registry URL      (http, dubbo) nacos://[user:password@]host:port[?namespace=&group=]; prints REGISTERED
          --advertise IP      (http, dubbo) what to register when it is not the address listened on
          --name NAME         how this host calls itself in its answers; default its address
          --weight W          --metadata KEY=VALUE (repeatable), both for http and dubbo
          --delay-ms N        before every answer
          --drain-ms N        on SIGTERM: serve on for this long after deregistering; default 5000
          --release R         (bolt) the version that the answers tell; default that of the interface, which is 1.0

      greymesh-sample call http  --target ADDR [--service NAME] [--path PATH] [options]
      greymesh-sample call dubbo --target ADDR --interface NAME [--version V] [--group G] [--method M] [options]
      greymesh-sample call bolt  --target ADDR --interface NAME [--version V] [--unique-id U] [--method M] [options]
          --header KEY=VALUE  a header field, an attachment, or an entry of the header map (repeatable)
          --count N | --seconds S; default --count 1; SIGTERM ends it early
          --rate R            calls a second; default: as fast as they are answered
          --connections C     default 4; --concurrency N (dubbo, bolt): calls in flight, default 8 a connection
          --timeout-ms N      for one call; default 5000
          --expect V=PERCENT  what share of the answers must come from a version (repeatable); --tolerance POINTS, default 5
          --json

      greymesh-sample fleet --registry URL [--sidecars N] [--services S] [--seconds T] [--ramp-ms N]
          watches S services (default 5, named fleet-0, fleet-1, ...) from N sidecars (default 1000) that start within
          the ramp (default 10000); prints a line a second: requests to the registry, failures, sidecars connected

    Exit status: 0 good, 1 a call failed or a share is not as expected, 2 wrong use.
    """

func run(_ words: [String]) throws -> Int32 {
    let rest = Array(words.dropFirst())
    switch words.first {
    case "http": try ServeCommand.http(rest)
    case "dubbo": try ServeCommand.dubbo(rest)
    case "bolt": try ServeCommand.bolt(rest)
    case "call": return try CallCommand.run(rest)
    case "fleet": try FleetCommand.run(rest)
    case "--help", "-h", "help": print(usage)
    case let other: throw UsageError(description: "unknown command '\(other ?? "")'; see greymesh-sample --help")
    }
    return 0
}

func complain(_ error: any Error) {
    LineOutput().write("greymesh-sample: \(error)\n") { _ in "" }
}

Signals.block([SIGTERM, SIGINT])
do {
    exit(try run(Array(CommandLine.arguments.dropFirst())))
} catch let error as UsageError {
    complain(error)
    exit(2)
} catch {
    complain(error)
    exit(1)
}
