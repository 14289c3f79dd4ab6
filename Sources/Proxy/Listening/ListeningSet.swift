import Configuration
import Runtime

/// The listening sockets of all workers.
///
/// Usually each worker has a socket of its own for each listener, and the system spreads connections over them. Of sockets that another
/// process has left none may be without a worker: connections wait in each. Where they are fewer than workers, several workers accept
/// from the same socket; where they are more, a worker has several.
struct ListeningSet {
    /// What one worker accepts from.
    struct Share: Sendable {
        /// One socket for each listener, in order.
        var first: [Int32] = []
        /// Further ones.
        var more: [(listener: Int, descriptor: Int32)] = []
    }

    /// The sockets of each listener, each once.
    private(set) var sockets: [[Int32]] = []
    /// By worker.
    private(set) var shares: [Share]

    /// Opens what is not inherited, and sets the addresses to those that the system has chosen.
    ///
    /// - Throws: `SystemError` that names the address that cannot be had. All sockets are closed then.
    init(_ listeners: inout [ListenerConfiguration], workers: Int, inherited: [[Int32]]) throws {
        shares = Array(repeating: Share(), count: workers)
        do {
            for (index, listener) in listeners.enumerated() where Self.found(inherited, index).isEmpty {
                try Socket.checkUnused(listener.address)
            }
            for index in listeners.indices {
                sockets.append(Self.found(inherited, index))
                if sockets[index].isEmpty { try open(&listeners[index], index, workers) }
                if let bound = Socket.localAddress(sockets[index][0]) { listeners[index].address = bound }
                try share(index, workers)
            }
        } catch {
            for descriptor in Set(sockets.joined()).union(inherited.joined()).union(shares.flatMap(\.first)) {
                Socket.close(descriptor)
            }
            throw error
        }
    }

    private static func found(_ inherited: [[Int32]], _ index: Int) -> [Int32] {
        inherited.indices.contains(index) ? inherited[index] : []
    }

    private mutating func open(_ listener: inout ListenerConfiguration, _ index: Int, _ workers: Int) throws {
        for _ in 0..<workers {
            sockets[index].append(try Socket.listen(on: listener.address, shared: workers > 1))
            // The first worker's socket settles the port that the system chooses.
            if let bound = Socket.localAddress(sockets[index][0]) { listener.address = bound }
        }
    }

    private mutating func share(_ index: Int, _ workers: Int) throws {
        let all = sockets[index]
        for worker in 0..<workers {
            let descriptor = worker < all.count ? all[worker] : try DescriptorSocket.copy(all[worker % all.count])
            shares[worker].first.append(descriptor)
        }
        for (number, descriptor) in all.enumerated().dropFirst(workers) {
            shares[number % workers].more.append((index, descriptor))
        }
    }
}
