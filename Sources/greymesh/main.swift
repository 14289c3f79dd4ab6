import Commands
import Glibc
import Runtime

Signals.block(Signals.served)

/// The process's variables, read once before there is a second thread.
func environment() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
        let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
        entry += 1
    }
    return variables
}

let start = ProcessStart(arguments: CommandLine.arguments, environment: environment())
exit(Program(start: start).run(Array(CommandLine.arguments.dropFirst()), environment: start.environment))
