import Model

// Steps in words, one line each.
extension Step: CustomStringConvertible {
    var description: String {
        switch gap {
        case .together: "       + \(action)"
        case .turns(let count): "\(count) turns  \(action)"
        case .quiet: "quiet    \(action)"
        }
    }
}

extension Action: CustomStringConvertible {
    var description: String {
        switch self {
        case .open(let client, .outbound(let kind)): "client \(client) connects (\(kind.rawValue))"
        case .open(let client, .inbound(let service)): "client \(client) connects (to the application \(service))"
        case .request(let client, let plan): "client \(client) sends \(plan)"
        case .release(let client): "client \(client) sends what it held back"
        case .halfClose(let client): "client \(client) ends its side"
        case .close(let client): "client \(client) closes"
        case .reset(let client): "client \(client) resets"
        case .pause(let client): "client \(client) stops reading"
        case .resume(let client): "client \(client) reads again"
        case .garbage(let client): "client \(client) sends garbage"
        case .ping(let client): "client \(client) sends a heartbeat"
        case .refuse(let host): "host \(host) refuses connections"
        case .accept(let host): "host \(host) is well"
        case .crash(let host): "host \(host) crashes"
        case .hang(let host): "host \(host) hangs"
        case .closeIdle(let host): "host \(host) closes idle connections"
        case .readonly(let host): "host \(host) says readonly"
        case .writeable(let host): "host \(host) says writeable"
        case .heartbeat(let host): "host \(host) sends a heartbeat"
        case .chatter(let host, let kind): "host \(host) sends an \(kind.rawValue) that nobody asked for"
        case .list(let service, let listing): "service \(service) is listed: \(listing)"
        case .remove(let service): "service \(service) is not watched any more"
        case .routes(let routes): "routes: pinned \(routes.pinned), alias \(routes.hasAlias), path \(routes.hasPath)"
        case .report: "a report is asked for"
        case .inquire(let plan): "explain, and then do: \(plan)"
        case .drain: "drain"
        case .upgrade: "another process takes over"
        case .failConnects(let count, let code): "the next \(count) connects fail with \(code)"
        case .failAccepts(let count, let code): "the next \(count) accepts fail with \(code)"
        case .time(let milliseconds): "\(milliseconds) ms pass"
        case .freeze(let milliseconds): "the worker stands still for \(milliseconds) ms"
        }
    }
}

extension Listing: CustomStringConvertible {
    var description: String {
        let hosts = entries.map { "\($0.host)=\(Self.versions[$0.version])x\($0.weight)" }.joined(separator: " ")
        var mode = (isStrict ? "strict" : "fallback") + (stable > 0 ? ", stable \(Self.versions[stable])" : "")
        if !split.isEmpty {
            mode += ", split " + split.map { "\(Self.versions[$0.version]):\($0.weight)" }.joined(separator: " ")
            if isSticky { mode += " sticky" }
        }
        let more = padding > 0 ? " and \(padding) of weight 0" : ""
        return
            "hosts \(hosts)\(more), \(mode), balancer \(balancer), timeout \(timeoutMilliseconds) ms\(retryText)\(limitText)\(faultText)\(mirrorText)\(outlierText)"
    }
}

extension Listing {
    private var limitText: String {
        let limits = [
            breaker.requests.map { "\($0) requests" }, breaker.pending.map { "\($0) pending" },
            breaker.connections.map { "\($0) connections" },
            rateLimit.rate.map { "\($0) burst \(rateLimit.effectiveBurst)" + (rateLimit.key == nil ? "" : " each") },
        ].compactMap { $0 }
        return limits.isEmpty ? "" : ", at most " + limits.joined(separator: " ")
    }

    private var faultText: String {
        let faults = [fault.delay.map { "delay \($0)" }, fault.abort.map { "abort \($0)" }].compactMap { $0 }
        let text = faults.isEmpty ? "" : ", \(faults.joined(separator: " ")) for \(fault.share) of \(FaultPolicy.all)"
        return isClosed ? text + ", closed" : text
    }

    private var mirrorText: String {
        mirror.version.map { ", \(mirror.share) of \(FaultPolicy.all) copied to \($0)" } ?? ""
    }

    private var outlierText: String {
        if !outliers.isOn { return "" }
        func text(_ value: Int?) -> String { value.map { "\($0)" } ?? "off" }
        return
            ", ejects after \(text(outliers.consecutive)) in a row, \(text(outliers.errorRate)) % of \(outliers.requests) in "
            + "\(outliers.interval), \(text(outliers.latency)) times the median, for \(outliers.ejection), at most \(outliers.maxEjected) %"
    }

    private var retryText: String {
        if retries == RetryPolicy() { return "" }
        var text = ", \(retries.attempts) further tries on \(retries.causes.joined(separator: " ")) of "
        text +=
            (retries.methods ?? ["the usual"]).joined(separator: " ")
            + ", budget \(retries.budget), backoff \(retries.backoff)"
        return text + (retries.perTryTimeout.map { ", each \($0)" } ?? "")
            + (retries.hedge.map { ", hedge \($0)" } ?? "")
    }
}

extension RequestPlan: CustomStringConvertible {
    var description: String {
        var words = ["\(method) to service \(service)"]
        switch target {
        case .name: break
        case .alias: words.append("by alias")
        case .path(let stranger): words.append("by path as stranger\(stranger)")
        }
        if version > 0 { words.append("version \(Listing.versions[version])") }
        if user > 0 { words.append("user \(user)") }
        if bodySize > 0 { words.append("\(bodySize) bytes \(framing)") }
        if holding != .none { words.append("\(holding) held back") }
        if expectsContinue { words.append("expects continue") }
        if isVersion10 { words.append("HTTP/1.0") }
        if closes { words.append("close") }
        if wantsUpgrade { words.append("upgrade") }
        if isOneWay { words.append("one-way") }
        if timeoutMilliseconds > 0 { words.append("within \(timeoutMilliseconds) ms") }
        return words.joined(separator: ", ") + " -> " + reactions.map { "\($0)" }.joined(separator: ", then ")
    }
}

extension Reaction: CustomStringConvertible {
    var description: String {
        switch self {
        case .answer(let plan): "\(plan)"
        case .status(let status): "status \(status)"
        case .early(let status): "early \(status)"
        case .silent: "silence"
        case .stall: "stalls"
        case .cut(let asReset): asReset ? "cut by a reset" : "cut by an end"
        case .reset: "reset"
        case .hangUp: "end without an answer"
        case .garbage: "garbage"
        case .wrongID: "wrong id first"
        case .twice: "twice"
        case .oversized: "too long"
        case .exhausted: "exhausted"
        case .upgrade: "101"
        }
    }
}

extension AnswerPlan: CustomStringConvertible {
    var description: String {
        var words = ["\(size) bytes"]
        if framing != .length { words.append("\(framing)") }
        if delayMilliseconds > 0 { words.append("after \(delayMilliseconds) ms") }
        if isBroken { words.append("in two pieces") }
        if closes { words.append(resets ? "reset" : "close") }
        if hasInterim { words.append("103 first") }
        return words.joined(separator: " ")
    }
}
