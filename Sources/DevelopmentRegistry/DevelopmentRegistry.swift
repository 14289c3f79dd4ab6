import Glibc
import Runtime
import WebServer

/// A registry for demos and tests: it speaks the subset of the Nacos v1 HTTP naming API that Nacos clients and Greymesh
/// use, and keeps everything in memory. No authentication, no cluster, no configuration service, no pushes.
public final class DevelopmentRegistry {
    private let loop: EventLoop
    private let server: WebServer
    private let state = State()
    private var timer: EventLoop.Timer?

    private final class State {
        var api = NamingAPI()
    }

    /// Creates a registry that does not listen yet.
    public init(loop: EventLoop) {
        self.loop = loop
        var limits = WebServer.Limits()
        // As many sidecars as a process may have descriptors for; when those are used up new connections wait.
        limits.connections = 65_536
        let state = state
        server = WebServer(loop: loop, limits: limits) { request, respond in
            respond(state.api.answer(request, at: Clock.nanoseconds))
        }
    }

    deinit { loop.cancel(timer) }

    /// Listens and returns the address with the port the system chose.
    @discardableResult
    public func listen(on address: SocketAddress) throws -> SocketAddress {
        let bound = try server.listen(on: address)
        expireLater()
        return bound
    }

    /// Stops listening and closes all connections. What is registered stays; listening again continues with it.
    public func stop() {
        loop.cancel(timer)
        timer = nil
        server.stop()
    }

    /// Forgets all that is registered, as a restarted server does.
    public func forgetAll() { state.api.store = NamingStore() }

    private func expireLater() {
        loop.cancel(timer)
        timer = loop.schedule(after: .milliseconds(250)) { [weak self] in
            guard let self else { return }
            self.state.api.store.expire(at: Clock.nanoseconds)
            self.expireLater()
        }
    }

    /// The command `greymesh registry`: serves until SIGTERM or SIGINT, which end it at once.
    ///
    /// Prints `READY registry nacos://ADDRESS` on standard output when it listens. Block the two signals (`Signals.block`)
    /// before.
    public static func run(listen address: SocketAddress) throws {
        let loop = try EventLoop()
        let registry = DevelopmentRegistry(loop: loop)
        try Signals.watch([SIGTERM, SIGINT], on: loop) { _ in loop.stop() }
        let bound = try registry.listen(on: address)
        print("READY registry nacos://\(bound)")
        fflush(nil)
        loop.run()
        registry.stop()
    }
}
