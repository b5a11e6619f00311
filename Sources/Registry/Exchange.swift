import HTTP
import Synchronization

/// One request to a registry, and what counts as its answer.
struct Exchange: Sendable {
    var method: HTTPMethod
    var url: HTTPURL
    var headers: HTTPHeaders = [:]
    var body: HTTPRequestBody = .none
    /// Shown to this URL's origin only; dropped where a redirect leaves it.
    var authorization: Secret?
    var lane = HostGate.Lane.control
    var timeouts = Exchange.controlTimeouts
    /// Where an accepted body goes; without one it is collected, up to `bodyLimit` bytes.
    var sink: (any BodySink)?
    /// How many bytes of a body are read at once.
    var readSize = 16 << 10
    /// Bytes that the kernel may receive ahead on a connection that is opened for it, where not the client's.
    var receiveBuffer: Int?
    var bodyLimit = ErrorBody.maximumSize
    /// The statuses that are answers rather than refusals.
    var accepts: Set<Int>
    /// What becomes of the body of an accepted response.
    var judge: @Sendable (HTTPResponseHead) -> Judgement = { _ in .take(length: nil) }

    init(_ method: HTTPMethod, _ url: HTTPURL, headers: HTTPHeaders = [:], accepts: Set<Int>) {
        self.method = method
        self.url = url
        self.headers = headers
        self.accepts = accepts
    }

    /// What becomes of an accepted response's body.
    enum Judgement: Sendable {
        /// It is delivered; with a length, it must have exactly so many bytes.
        case take(length: Int64?)
        /// So many bytes are collected, and the rest is left. A body that breaks off is an answer too: whatever came of it.
        case peek(Int)
        /// The transfer ends at the head.
        case abandon
    }

    /// Five minutes bound any small request: a server that drips bytes does not hold a slot for ever.
    static let controlTimeouts = Timeouts(total: 300)

    /// A streamed body can be sent once only; whoever owns it decides how to go on.
    var isReplayable: Bool {
        if case .source = body { return false }
        return true
    }

    /// Whether a failure that may pass is retried here. Where bytes stream to the caller, another range, connection or
    /// source may be the better answer, which is the caller's to choose.
    var isRetried: Bool { isReplayable && sink == nil }
}

/// A response with where it came from.
struct Reply: Sendable {
    let head: HTTPResponseHead
    let body: [UInt8]
    /// The URL that answered, after redirects: what a `Location` is relative to.
    let url: HTTPURL
    let receivedBytes: Int64

    var status: Int { head.status }
}

/// Decides at the head of a response whether the caller's sink may see its body.
///
/// Refusals, redirects and whatever else is not the answer asked for are collected apart, up to a bound; beyond it the
/// connection is dropped, and what was kept explains the refusal.
final class ResponseSink: BodySink {
    private enum Mode: Equatable { case waiting, deliver, collect, peek(Int), refusal }

    private struct State {
        var mode = Mode.waiting
        var head: HTTPResponseHead?
        var body: [UInt8] = []
        var received: Int64 = 0
        var expected: Int64?
        var overflowed = false
    }

    private let exchange: Exchange
    private let state = Mutex(State())

    init(_ exchange: Exchange) { self.exchange = exchange }

    /// The head, once it is complete.
    var head: HTTPResponseHead? { state.withLock(\.head) }
    /// What was collected.
    var body: [UInt8] { state.withLock(\.body) }
    /// Whether an accepted body went over its limit or its announced length.
    var overflowed: Bool { state.withLock { $0.overflowed && $0.mode != .refusal } }
    /// Whether the head is complete and refuses, or redirects: an answer, even where its body breaks off.
    var isRefusal: Bool { state.withLock { $0.mode == .refusal } }
    /// Whether the head is complete and any part of the body will do.
    var isPeek: Bool {
        state.withLock { if case .peek = $0.mode { true } else { false } }
    }
    /// Bytes still missing of a body whose exact length is known.
    var missing: Int64 { state.withLock { state in state.expected.map { max(0, $0 - state.received) } ?? 0 } }

    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition {
        let isAccepted = exchange.accepts.contains(head.status)
        let judgement = isAccepted ? exchange.judge(head) : nil
        let inner = state.withLock { state -> (any BodySink)? in
            state.head = head
            if case .peek(let count) = judgement {
                state.mode = .peek(count)
                return nil
            }
            guard case .take(let length) = judgement else {
                state.mode = .refusal
                return nil
            }
            state.expected = length
            state.mode = exchange.sink == nil ? .collect : .deliver
            return exchange.sink
        }
        if case .abandon = judgement { return .abandon }
        guard let inner else { return .stream }
        let disposition = inner.begin(head, control)
        // What the caller leaves or collects elsewhere is not missed here.
        if case .stream = disposition { return disposition }
        state.withLock { $0.expected = nil }
        return disposition
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
        let delivers = state.withLock { state -> Bool? in
            let limit: Int64
            if case .peek(let count) = state.mode {
                state.body.append(contentsOf: bytes.prefix(max(0, count - state.body.count)))
                state.received += Int64(bytes.count)
                return state.body.count < count ? false : nil
            }
            switch state.mode {
            case .deliver: limit = state.expected ?? .max
            case .collect: limit = Int64(exchange.bodyLimit)
            case .waiting, .refusal, .peek: limit = Int64(ErrorBody.maximumSize)
            }
            guard Int64(bytes.count) <= limit - state.received else {
                state.overflowed = true
                return nil
            }
            if state.mode == .deliver { return true }
            state.body.append(contentsOf: bytes)
            state.received += Int64(bytes.count)
            return false
        }
        guard let delivers else { return .refuse }
        guard delivers, let sink = exchange.sink else { return .consumed }
        let answer = sink.receive(bytes)
        if case .consumed = answer { state.withLock { $0.received += Int64(bytes.count) } }
        return answer
    }
}
