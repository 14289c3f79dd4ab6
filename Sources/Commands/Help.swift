/// The texts of `--help`.
enum Help {
    static func text(_ verb: Verb?) -> String {
        guard let verb else { return overview }
        let operand = verb.operand.map { " [\($0)]" } ?? ""
        let rows = verb.flags.map { flag in
            (
                flag.isSwitch ? "--\(flag.name)" : "--\(flag.name) \(flag.placeholder)",
                flag.summary + (flag.variable.map { " [\($0)]" } ?? "")
            )
        }
        return """
            greymesh \(verb.rawValue): \(verb.summary)

            Usage: greymesh \(verb.rawValue) [flags]\(operand)

            \(table(rows + [("--help", "this text")]))
            \(notes(verb).map { "\n\($0)\n" } ?? "")
            """
    }

    private static var overview: String {
        """
        greymesh: forwards HTTP, Dubbo and Bolt requests to the version of a service that they ask for

        Usage: greymesh COMMAND [flags]

        \(table(Verb.allCases.map { ($0.rawValue, $0.summary) }))

          greymesh --FLAG ...       the same as greymesh run --FLAG ...
          greymesh COMMAND --help   the flags of a command
          greymesh --version        the version of the program

        A name in brackets is the environment variable that stands in for a flag. A flag wins over its variable, a
        variable over the configuration file, the file over the default.

        Exit codes: 0 all is well, 1 the command failed, 2 the command line is wrong.

        """
    }

    private static func notes(_ verb: Verb) -> String? {
        switch verb {
        case .run:
            """
            With --registry alone it serves the usual addresses. GREYMESH_REGISTRY may hold several URLs with blanks or
            commas between them. --http, --dubbo and --bolt take the place of the file's listeners of that protocol.
            --register takes the place of the file's registrations:
            [http://|dubbo://|bolt://]NAME[:VERSION[:GROUP]]@TARGET[?...]; GROUP is the unique id of a Bolt service.
            TARGET is the application's port, ADDRESS:PORT, or an inbound listener's name. Parameters are version, group,
            weight, address, registry, health=off|/PATH and meta.KEY; GREYMESH_REGISTER may hold several with blanks or commas.
            SIGTERM and SIGINT take out what is registered and end it when the requests in flight are done.
            """
        case .check: "Prints one line for each mistake, with file and line. Exit code 1 when there is one."
        case .explain:
            """
            The running process decides as it would for a real request; nothing is sent to a host.
            --version and --group make it a Dubbo or Bolt call. Exit code 1 when it would be refused.
            """
        case .upgrade:
            """
            Connections and listening sockets go over; nothing is interrupted. SIGUSR2 does the same. Exit code 1 when the new
            process does not become ready: then the old one goes on.
            """
        case .registry:
            "Speaks the part of the Nacos naming API that clients of version 1 use. Nothing is kept on disk."
        case .services, .clusters, .registries, .registrations: nil
        }
    }

    private static func table(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { left, right in
            "  " + left + String(repeating: " ", count: width - left.count + 3) + right
        }.joined(separator: "\n")
    }
}
