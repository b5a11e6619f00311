/// Counts bytes from the network, and holds them back for the site's limits. Called on the event-loop thread: must not
/// block.
protocol ByteMeter: Sendable {
    /// Asked before a connection's bytes are taken. After `.later`, the flow's `resume` is called once when they may be
    /// offered again.
    func admit(_ count: Int, of flow: MeteredFlow) -> ByteMeterAnswer

    /// Whether transfers may run now.
    var standing: MeterStanding { get }

    /// Makes what was counted outlive the process.
    func flush()
}

/// A meter's answer.
enum ByteMeterAnswer {
    case now, later
    /// Not for a long time: the connection is to be closed.
    case stop
}

/// Whether transfers may run.
enum MeterStanding: Equatable {
    case open
    /// Not for a short time, during which everything stays as it is.
    case held(TransferPause)
    /// Not for a long time: the pass ends, and another goes on from where it was.
    case stopped(TransferPause)
}

/// No limits.
struct Unmetered: ByteMeter {
    func admit(_ count: Int, of flow: MeteredFlow) -> ByteMeterAnswer { .now }
    var standing: MeterStanding { .open }
    func flush() {}
}

extension ByteMeter {
    /// Waits until a small body may come, and counts it.
    ///
    /// - Returns: `false` where the limits stop transfers for long, or the task was cancelled
    func take(_ count: Int) async -> Bool {
        let (turns, resume) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let flow = MeteredFlow { resume.yield() }
        var turn = turns.makeAsyncIterator()
        while !Task.isCancelled {
            switch admit(count, of: flow) {
            case .now: return true
            case .later: _ = await turn.next()
            case .stop: return false
            }
        }
        return false
    }
}

extension TransferContext {
    /// Waits out a short pause of the site's limits.
    ///
    /// - Throws: `TransferError.paused` at a long one, `TransferError.cancelled`
    func ready() async throws(TransferError) {
        while true {
            switch meter.standing {
            case .open: return
            case .held: break
            case .stopped(let pause): throw TransferError(.paused, "transfers are paused: \(pause)")
            }
            guard await self.pause(.seconds(1)) else { throw TransferError(.cancelled, "the transfer was stopped") }
        }
    }
}
