import Balancing
import Codecs
import Runtime

struct Consumer { var timer = WheelTimer(kind: 9) }
struct Provider { var timer = WheelTimer(kind: TimerKind.provider) }
struct Call { var timer = WheelTimer(kind: TimerKind.call) }
struct DubboState: ~Copyable {
    var consumers = Slab<Consumer>()
    mutating func settle() { consumers.settle() }
}
extension Worker {
    mutating func openConsumer(_ descriptor: Int32, peer: SocketAddress, listener: Int) { Socket.close(descriptor) }
    mutating func consumerReady(_ consumer: UnsafeMutablePointer<Consumer>, _ readiness: Readiness) {}
    mutating func providerReady(_ provider: UnsafeMutablePointer<Provider>, _ readiness: Readiness) {}
    mutating func callTimeout(_ call: UnsafeMutablePointer<Call>) {}
    mutating func providerTimeout(_ provider: UnsafeMutablePointer<Provider>) {}
    mutating func resumeWaiting(_ call: UnsafeMutablePointer<Call>) {}
    mutating func retireProviders(of endpoint: UnsafeMutablePointer<Endpoint>) {}
    mutating func flushDubbo() {}
    mutating func drainConsumers() {}
}
