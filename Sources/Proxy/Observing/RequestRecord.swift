import Model
import Runtime

/// Codes of ends that have no status of their own.
enum RequestCode {
    /// The downstream went before the response's end; nginx has the same.
    static var downstreamGone: Int32 { 499 }
    /// The response broke off after its head was sent.
    static var cut: Int32 { 599 }
    /// A result of a multiplexed protocol that is an exception of the called method: its status is that of a good one.
    static var exception: Int32 { 1000 }
}

/// What has become of a request: made once, when it ends in whatever way, for every protocol. Counters and access log are fed
/// from it.
struct RequestRecord {
    /// Nil: none was found that could be meant.
    let service: UnsafeMutablePointer<Service>?
    let kind: ServiceKey.Kind
    /// The version that was asked for, and the one that has served.
    var requested = ServiceMetrics.nobody
    var served = ServiceMetrics.nobody
    /// A status of the protocol, or a code that stands for an end without one.
    let code: Int32
    /// Monotonic nanoseconds.
    let started: Int64
}

extension Worker {
    /// Counts a request, and ends its line of the access log where one was begun.
    @inline(__always)
    mutating func record(_ record: RequestRecord, line: inout Buffer) {
        if let service = record.service, !service.pointee.isUnlisted {
            service.pointee.metrics.count(
                requested: record.requested, served: record.served, code: record.code, nanoseconds: now - record.started
            )
        } else {
            countUnlisted(record)
        }
        if !line.isEmpty { finishLine(record, &line) }
    }

    /// Unlisted names, and requests without any, are counted together: they must not cost series of their own.
    @inline(never)
    private mutating func countUnlisted(_ record: RequestRecord) {
        let requested = record.requested == ServiceMetrics.nobody ? ServiceMetrics.nobody : ServiceMetrics.other
        let nanoseconds = now - record.started
        tables.unlistedMetrics.count(record.kind, requested: requested, code: record.code, nanoseconds: nanoseconds)
    }

    // MARK: Access log

    /// What every line begins with: time, protocol and who asks.
    func lineStart(_ kind: ServiceKey.Kind, peer: ByteString) -> String {
        "{\"time\":\"\(Logger.timestamp(system.wallNanoseconds))\",\"protocol\":\"\(kind.rawValue)\",\"peer\":"
            + JSONString.quoted(peer.text)
    }

    private mutating func finishLine(_ record: RequestRecord, _ line: inout Buffer) {
        buffers.append(line.bytes, count: line.count, to: &logLines)
        buffers.release(&line)
        var version = ""
        if record.served >= 0, let service = record.service {
            version = service.pointee.labels[Int(record.served)].text
        }
        var end = ",\"service\":" + JSONString.quoted(record.service?.pointee.key.name ?? "")
        end += ",\"version\":" + JSONString.quoted(version)
        end += ",\"status\":\(record.code),\"duration_us\":\((now - record.started) / 1000)}\n"
        buffers.append(end, to: &logLines)
    }

    /// Hands the finished lines to the log's thread.
    mutating func writeAccessLog() {
        guard let accessLog, !logLines.isEmpty else { return }
        system.write(Array(UnsafeBufferPointer(start: logLines.bytes, count: logLines.count)), to: accessLog)
        logLines.clear()
    }
}
