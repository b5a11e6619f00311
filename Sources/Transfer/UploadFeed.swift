import HTTP
import Synchronization

/// The body of one upload request: a run of a blob's bytes that follows its hash.
///
/// Holds at most `depth` segments; asks its pump for more when it runs low, and pauses the request when it is empty.
final class UploadFeed: BodySource {
    /// The most segments it holds.
    static let depth = 4

    private struct State {
        var segments: [Segment] = []
        /// The next byte that the request reads.
        var position: Int64
        /// The next byte that the pump offers.
        var wanted: Int64
        var isWaiting = false
        var hasBegun = false
        var hasFailed = false
        var control: TransferControl?
    }

    /// The first byte after the request's body.
    let end: Int64
    private let state: Mutex<State>
    private let runsLow: @Sendable (UploadFeed) -> Void
    private let sent: @Sendable (Int) -> Void

    /// - Parameters:
    ///   - start: the first byte of the request's body
    ///   - end: the first byte after it
    ///   - runsLow: called when there is room again
    ///   - sent: called with each number of bytes that the request has taken
    init(
        start: Int64, end: Int64, runsLow: @escaping @Sendable (UploadFeed) -> Void,
        sent: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.end = end
        state = Mutex(State(position: start, wanted: start))
        self.runsLow = runsLow
        self.sent = sent
    }

    /// Where the next segment is to start, if there is room for one and something left to send. A request that waits for
    /// its turn at the registry holds nothing: as many feeds hold memory as uploads are under way.
    var wanted: Int64? {
        state.withLock { $0.hasBegun && $0.segments.count < Self.depth && $0.wanted < end ? $0.wanted : nil }
    }

    /// Takes a segment if it is the next one and there is room.
    @discardableResult
    func offer(_ segment: Segment) -> Bool {
        let (taken, resume): (Bool, TransferControl?) = state.withLock { state in
            guard state.hasBegun, state.segments.count < Self.depth, state.wanted < end,
                segment.offset <= state.wanted, state.wanted < segment.end
            else { return (false, nil) }
            state.segments.append(segment)
            state.wanted = segment.end
            defer { state.isWaiting = false }
            return (true, state.isWaiting ? state.control : nil)
        }
        // Downloads must not wait for a segment that waits for an upload: uploads wait for downloads.
        if taken { segment.leaveLimit() }
        resume?.resume()
        return taken
    }

    /// Ends the request with an error.
    func fail() {
        let resume: TransferControl? = state.withLock { state in
            state.hasFailed = true
            state.segments.removeAll()
            return state.control
        }
        resume?.resume()
    }

    func begin(_ control: TransferControl) {
        state.withLock { state in
            state.control = control
            state.hasBegun = true
        }
        runsLow(self)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> BodySourceAnswer {
        enum Step { case answer(BodySourceAnswer, runsLow: Bool) }
        let step: Step = state.withLock { state in
            state.hasBegun = true
            guard !state.hasFailed else { return .answer(.fail, runsLow: false) }
            var filled = 0
            var drained = false
            while filled < buffer.count, let segment = state.segments.first, state.position < end {
                let from = Int(state.position - segment.offset)
                let count = min(segment.count - from, buffer.count - filled, Int(min(end - state.position, 1 << 30)))
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: segment.bytes[from..<from + count]))
                filled += count
                state.position += Int64(count)
                if state.position == segment.end {
                    state.segments.removeFirst()
                    drained = true
                }
            }
            if filled == 0 { state.isWaiting = true }
            return .answer(
                filled > 0 ? .bytes(filled) : .pause,
                runsLow: state.wanted < end && state.segments.count <= Self.depth / 2 && (drained || filled == 0))
        }
        guard case .answer(let answer, let low) = step else { return .fail }
        if case .bytes(let count) = answer { sent(count) }
        if low { runsLow(self) }
        return answer
    }
}
