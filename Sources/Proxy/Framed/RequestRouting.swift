import Balancing
import Codecs
import Model
import Routing
import Runtime

// A request's way to its service, first part: reading, service, what it asks for.
extension Worker {
    /// Takes a request. `frame` is whole, and may be changed.
    @inline(__always)
    mutating func begin<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        let reading = framed.pointee.codec.read(frame, head)
        if case .unusual = reading { return beginPlain(framed, downstream, head, frame) }
        begin(framed, downstream, head, frame, head.frameLength, reading)
    }

    /// Texts in several pieces or another encoding are what they say all the same: the request is written anew with plain ones.
    private mutating func beginPlain<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        var plain = Buffer()
        buffers.reserve(Codec.plainBound(head), in: &plain)
        let count = framed.pointee.codec.writePlain(frame, head, into: plain.tail)
        plain.filled(count)
        if count > 0, let plainHead = Codec.head(plain.bytes, count: count) {
            var reading = framed.pointee.codec.read(plain.bytes, plainHead)
            if case .unusual = reading { reading = .malformed }
            begin(framed, downstream, plainHead, plain.bytes, count, reading)
        } else {
            begin(framed, downstream, head, frame, head.frameLength, .malformed)
        }
        buffers.release(&plain)
    }

    /// The request was read last.
    private mutating func begin<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, _ reading: RequestReading
    ) {
        guard let service = requestedService(framed, reading, frame, listener: downstream.pointee.listener) else {
            return refuseUnnamed(framed, downstream, head, reading, frame)
        }
        guard let request = framed.pointee.requests.take() else {
            return refuse(
                framed, downstream, head, Codec.form(head, frame), .overloaded,
                "greymesh: too many requests are in flight", frame: frame)
        }
        request.pointee.state.service = service
        request.pointee.state.started = now
        request.pointee.downstreamID = Codec.id(head)
        request.pointee.form = Codec.form(head, frame)
        downstream.pointee.connection.lane = request.pointee.form.lane
        request.pointee.isTwoWay = Codec.isTwoWay(head)
        if request.pointee.isTwoWay {
            request.pointee.downstream = downstream
            downstream.pointee.requests.insert(request)
            downstream.pointee.requestCount += 1
        } else {
            request.pointee.client = downstream.pointee.client
        }
        service.pointee.usedAt = now
        service.pointee.active += 1
        if accessLog != nil { beginLogLine(framed, request, downstream, frame) }
        if Codec.rounds(frame) >= Self.mostRounds { return refuseRound(framed, request, service) }
        if service.pointee.state == .ready || becomesReady(service) {
            ask(framed, request, service, frame, downstream.peerText)
            askMore(framed, request, service, frame, downstream.peerText)
            start(request)
            forward(framed, request, after: .ready, frame, count, isRead: true)
        } else {
            park(framed, request, service, frame, count, downstream.peerText)
        }
    }

    /// Greymeshes that a request may come through.
    private static var mostRounds: UInt8 { 8 }

    /// Hosts lead back to where the request has been.
    private mutating func refuseRound<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>
    ) {
        answer(
            framed, request, .loop,
            "greymesh: a request of service \(service.pointee.key.name) has come through \(Self.mostRounds) Greymeshes and goes "
                + "no further: hosts of it lead back to one of them")
    }

    // MARK: Service

    @inline(__always)
    private mutating func requestedService<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ reading: RequestReading, _ frame: UnsafeMutablePointer<UInt8>, listener: Int32
    ) -> UnsafeMutablePointer<Service>? {
        if let application = listeners[Int(listener)].application {
            if case .malformed = reading { return nil }
            return application
        }
        switch reading {
        case .named:
            let name = framed.pointee.codec.interface(frame)
            if let service = tables.known.find(Codec.kind, name) { return service }
            return InterfaceName.isPlausible(name) ? demandService(Codec.kind, name) : nil
        case .opaque: return tables.onlyNamed(of: Codec.kind)
        case .malformed, .unusual: return nil
        }
    }

    /// No service is meant that could be called.
    private mutating func refuseUnnamed<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ reading: RequestReading, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        let form = Codec.form(head, frame)
        switch reading {
        case .malformed, .unusual:
            let text = "greymesh: " + framed.pointee.codec.malformation + " (\(Codec.contentName(head)))"
            noteBadInput(downstream, text)
            refuse(framed, downstream, head, form, .malformed, text)
        case .opaque:
            let count = tables.countNamed(of: Codec.kind)
            let text =
                "greymesh: a request in \(Codec.contentName(head)) does not show which service it is for, and the configuration "
                + "names \(count == 0 ? "none" : "\(count)") with hosts"
            refuse(framed, downstream, head, form, .unnamed, text, frame: frame)
        case .named:
            let name = framed.pointee.codec.interface(frame)
            if InterfaceName.isPlausible(name) {
                let text = "greymesh: too many names are asked for that no registry lists, \(name.text) is one more"
                return refuse(framed, downstream, head, form, .overloaded, text, frame: frame)
            }
            let text =
                "greymesh: the request names no service: the name is empty, too long, not UTF-8 or not an interface's"
            refuse(framed, downstream, head, form, .unnamed, text, frame: frame)
        }
    }

    // MARK: What the request asks for

    /// Reads requested version, group, interface version, sticky key and timeout from the request that was read last.
    @inline(__always)
    mutating func ask<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ frame: UnsafePointer<UInt8>, _ peer: ByteString
    ) {
        readTimeout(framed, request, service)
        var asked = Asked()
        if !framed.pointee.codec.isReadable || service.pointee.takesAll {
            // Nothing can be read, or nothing of it matters: any interface version will do.
            asked.isInterface = true
            asked.interfaceVersion = CallView.anyInterfaceVersion
            if !service.pointee.takesAll { widenUnnamed(&asked, &request.pointee.groups, of: service) }
        } else {
            identify(
                &asked, as: Codec.self, group: framed.pointee.codec.group(frame),
                interfaceVersion: framed.pointee.codec.version(frame), of: service)
            asked.requested = requestedVersion(framed, frame, service)
            if !Codec.takesSeveral && framed.pointee.codec.interface(frame).count == 0 {
                widenUnnamed(&asked, &request.pointee.groups, of: service)
            }
        }
        if asked.requested == .none && service.pointee.rules.shareCount > 0 {
            drawChance(&asked, stickyKey: stickyKey(framed, service, frame, peer), of: service)
        }
        request.pointee.state.asked = asked
        // What goes to the application behind a listener is never rewritten: there it is as if it had the host's version.
        request.pointee.frameVersion = service.pointee.takesAll ? 0 : asked.interfaceVersion
        // Nothing can be adapted of one that names no service, but it may go to hosts of any group.
        request.pointee.isAdapted = asked.isWide
    }

    /// Reads what only some requests need: what rate limits count them by, and what only some calls of Dubbo ask for.
    @inline(__always)
    func askMore<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ frame: UnsafePointer<UInt8>, _ peer: ByteString
    ) {
        if service.pointee.traffic.limitKey != .none { noteLimitKey(framed, request, service, frame, peer) }
        if Codec.takesSeveral && (service.pointee.hasPaths || mayBeWide(request.pointee.state.asked)) {
            askDubbo(framed, request, service, frame)
        }
    }

    /// Several groups, any interface version, a path.
    @inline(never)
    private func askDubbo<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ frame: UnsafePointer<UInt8>
    ) {
        if !framed.pointee.codec.isReadable || service.pointee.takesAll { return }
        if mayBeWide(request.pointee.state.asked) {
            widen(
                &request.pointee.state.asked, &request.pointee.groups, framed.pointee.codec.group(frame), of: service)
        }
        request.pointee.isAdapted = true
        request.pointee.frameTerms = CallTerms(
            group: Int32(truncatingIfNeeded: request.pointee.state.asked.group),
            path: service.pointee.hasPaths
                ? framed.pointee.codec.path(frame, service.pointee.labels) : .interface)
    }

    @inline(__always)
    func readTimeout<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>
    ) {
        let milliseconds = Int64(framed.pointee.codec.timeoutMilliseconds)
        request.pointee.hasOwnTimeout = milliseconds > 0
        let timeout =
            milliseconds > 0
            ? milliseconds * 1_000_000 : service.pointee.traffic.find(ServiceMetrics.nobody).pointee.timeout
        request.pointee.state.deadline = request.pointee.state.started + timeout
    }

    @inline(__always)
    private func requestedVersion<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ frame: UnsafePointer<UInt8>, _ service: UnsafeMutablePointer<Service>
    ) -> RequestedVersion {
        for index in 0..<settings.versionNameCount {
            guard let value = framed.pointee.codec.property(settings.versionNames[index], frame),
                !InterfaceName.isAnyVersion(value)
            else { continue }
            let requested = requestedVersion(value, of: service)
            if requested != .none { return requested }
        }
        return .none
    }

    private func stickyKey<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ service: UnsafeMutablePointer<Service>, _ frame: UnsafePointer<UInt8>,
        _ peer: ByteString
    ) -> ByteString {
        value(of: KeyPlace(service.pointee.sticky), service.pointee.stickyName, framed, frame, peer)
    }

    /// Notes what rate limits count the request by.
    @inline(never)
    private func noteLimitKey<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ frame: UnsafePointer<UInt8>, _ peer: ByteString
    ) {
        let key = value(
            of: service.pointee.traffic.limitKey, service.pointee.traffic.limitKeyName, framed, frame, peer)
        request.pointee.limits.limitKey = key.hash()
    }

    /// What the request has as a key; empty where it has nothing.
    private func value<Codec: FramedCodec & ~Copyable>(
        of key: KeyPlace, _ name: ByteString, _ framed: Framed<Codec>, _ frame: UnsafePointer<UInt8>,
        _ peer: ByteString
    ) -> ByteString {
        let none = ByteString(base: frame, count: 0)
        switch key {
        case .clientAddress: return peer
        case .header: return framed.pointee.codec.isReadable ? framed.pointee.codec.property(name, frame) ?? none : none
        case .none: return none
        }
    }
}
