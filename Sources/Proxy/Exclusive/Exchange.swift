import Codecs
import Runtime

/// One request and its response.
struct Exchange {
    /// `started` is when its first byte was seen; 0: it has none yet.
    var state = RequestState()
    /// Where it counts for limits.
    var limits = RequestLimits()
    /// Where the request is.
    var upstream: UnsafeMutablePointer<ExclusiveUpstream>?
    /// Where it is as well, while neither of both hosts has answered.
    var hedge: UnsafeMutablePointer<ExclusiveUpstream>?
    /// A request has begun and what has become of it is not recorded yet.
    var isOpen = false
    /// The rewritten head and the body read so far; what the host has not taken waits in it.
    var request = Buffer()
    /// The whole of `request` since its head is still there: it can be sent to another host.
    var isReplayable = false
    /// A response's head was sent to the downstream: too late for another host or an error.
    var isResponding = false
    /// An interim response was: too late for another host.
    var hasInterim = false
    /// The request's body is read to its end.
    var bodyComplete = true
    /// The downstream keeps its connection.
    var keepAlive = true
    /// The downstream understands chunked responses.
    var isVersion11 = true
    var wantsUpgrade = false
    /// The downstream sends no body before the host has asked for it.
    var awaitsContinue = false
    /// The downstream learns where the response ends from the connection's end.
    var endsWithClose = false
    /// The next attempt opens a connection of its own: a pooled one had been closed by the host.
    var avoidsPool = false
    var method = HTTP1.Method.get
    var framing = HTTP1.BodyFraming.none
    var chunked = HTTP1.ChunkedState()
    /// When the present try has taken as long as one may.
    var tryDeadline = Int64.max
    /// Status sent to the downstream.
    var status: Int32 = 0
    /// When its head was whole.
    var headAt: Int64 = 0
}
