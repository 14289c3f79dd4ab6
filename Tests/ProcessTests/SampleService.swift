import Glibc
import TestSupport

/// A `greymesh-sample` service in the background; it is killed when nobody holds it any more.
final class SampleService {
    let child: ChildProcess
    /// Where it listens.
    let address: String

    /// - Parameters:
    ///   - kind: `http`, `dubbo` or `bolt`.
    ///   - name: what it answers with.
    init(_ kind: String, _ name: String, _ options: [String]) throws {
        child = try ChildProcess(BuiltProgram.path("greymesh-sample"), [kind, "--name", name] + options)
        let ready = "READY \(kind) "
        address = String(try child.waitForLine(ready).dropFirst(ready.count))
    }

    deinit { child.signal(SIGKILL) }
}
