import Dispatch
import Synchronization

/// The site's limits over all connections of an engine: a byte-rate cap, transfer windows, and quotas.
///
/// What is limited, and counted, is the bodies that are read from sources: blobs in pieces of at most 16 KiB, and manifests
/// whole, each admitted before it is taken. Headers and TLS are not, and the kernel's socket buffers
/// are ahead of what is read: they fill at the link's speed, and then TCP holds the sender to the rate at which they are
/// emptied. So under a cap they are small (`TransferLimits.receiveBuffer(connections:)`).
///
/// Under a cap, connections take turns: one that finds the bucket empty, or others waiting, waits in a queue, and a
/// single alarm lets the first few of it read on, for a quantum of bytes each. So pauses and wake-ups grow with the rate
/// divided by the quantum, not with the number of connections.
///
/// A pause of at most `hold` seconds is waited out with the connections open; before a longer one they are closed at
/// once, since an idle one does not live for hours, and its buffers would go on filling after the end of the window.
/// What they have brought is in the journal.
final class SiteMeter: ByteMeter {
    /// The longest pause, in seconds, during which connections are kept.
    static let hold: Int64 = 30
    /// Seconds after which the machine's clock is looked at again while something waits for it: it may be set.
    static let longestSleep = 1.0
    /// The shortest sleep, in seconds: one of the alarm's own accuracy.
    static let shortestSleep = 0.001

    private struct State {
        var bucket: TokenBucket?
        var queue: [MeteredFlow] = []
        /// What the windows say, until its `until` or the clock's step backwards.
        var standing: (since: Int64, TransferWindows.Standing)?
        var alarm: (any Alarm)?
        /// When the alarm rings, by the monotonic clock; `nil` while it is not set.
        var ringsAt: Double?
    }

    private let windows: TransferWindows
    private let ledger: ByteLedger?
    private let clock: @Sendable () -> Double
    private let unixTime: @Sendable () -> Int64
    /// Bytes that a connection reads in one turn.
    private let quantum: Int
    /// The balance at which a turn begins.
    private let threshold: Double
    private let state: Mutex<State>

    /// - Parameters:
    ///   - rate: bytes a second over all connections; `nil` for any
    ///   - windows: when transfers may run
    ///   - ledger: where bytes are counted, and what is left of the quotas
    ///   - clock: seconds of a monotonic clock
    ///   - unixTime: whole seconds since 1970
    ///   - makeAlarm: makes the one alarm, of what it calls
    init(
        rate: Int64?, windows: TransferWindows = TransferWindows(), ledger: ByteLedger? = nil,
        clock: @escaping @Sendable () -> Double, unixTime: @escaping @Sendable () -> Int64,
        makeAlarm: (@escaping @Sendable () -> Void) -> any Alarm = { DispatchAlarm($0) }
    ) {
        self.windows = windows
        self.ledger = ledger
        self.clock = clock
        self.unixTime = unixTime
        let bucket = rate.map { TokenBucket(bytesPerSecond: $0, now: clock()) }
        // Five milliseconds' worth, so that there are some two hundred turns a second, with bounds: no less than a piece,
        // no more than libcurl reads at once.
        quantum = max(16 << 10, min(256 << 10, Int((bucket?.rate ?? 0) / 200)))
        threshold = min(Double(quantum), bucket?.capacity ?? 0)
        state = Mutex(State(bucket: bucket))
        let alarm = makeAlarm { [weak self] in self?.ring() }
        state.withLock { $0.alarm = alarm }
    }

    func admit(_ count: Int, of flow: MeteredFlow) -> ByteMeterAnswer {
        let now = unixTime()
        return state.withLock { state in
            switch standing(&state, now: now) {
            case .stopped: return .stop
            case .held(let pause):
                enqueue(flow, &state)
                setAlarm(after: Double(pause.until - now), &state)
                return .later
            case .open: break
            }
            if state.bucket != nil {
                let clock = clock()
                let balance = state.bucket?.balance(now: clock) ?? 0
                guard balance >= 0, state.queue.isEmpty || flow.turn > 0 else {
                    enqueue(flow, &state)
                    setAlarm(after: turnBegins(in: balance, state), &state)
                    return .later
                }
                flow.turn = max(0, flow.turn - count)
                _ = state.bucket?.spend(count, now: clock)
            }
            ledger?.count(Int64(count), at: now)
            return .now
        }
    }

    var standing: MeterStanding {
        let now = unixTime()
        return state.withLock { standing(&$0, now: now) }
    }

    func flush() { ledger?.flush() }

    // MARK: The alarm

    /// Lets those read on whose turn it is; tells those that wait for too long.
    private func ring() {
        let now = unixTime()
        let woken: [MeteredFlow] = state.withLock { state in
            state.ringsAt = nil
            switch standing(&state, now: now) {
            case .held(let pause):
                if !state.queue.isEmpty { setAlarm(after: Double(pause.until - now), &state) }
                return []
            case .stopped:
                // Each asks again, and is told to stop.
                return take(state.queue.count, &state)
            case .open: break
            }
            guard let balance = state.bucket?.balance(now: clock()) else { return take(state.queue.count, &state) }
            let woken = balance < threshold ? [] : take(max(1, Int(balance) / quantum), &state)
            // What they leave of their turns is there for the next ones.
            let left = balance - Double(woken.count * quantum)
            if !state.queue.isEmpty { setAlarm(after: turnBegins(in: left, state), &state) }
            return woken
        }
        // Outside the lock: a connection may ask at once.
        for flow in woken { flow.resume() }
    }

    private func take(_ count: Int, _ state: inout State) -> [MeteredFlow] {
        let woken = Array(state.queue.prefix(count))
        state.queue.removeFirst(woken.count)
        for flow in woken {
            flow.isQueued = false
            flow.turn = quantum
        }
        return woken
    }

    private func enqueue(_ flow: MeteredFlow, _ state: inout State) {
        guard !flow.isQueued else { return }
        flow.isQueued = true
        // One whose turn was cut short goes on with it first.
        if flow.turn > 0 { state.queue.insert(flow, at: 0) } else { state.queue.append(flow) }
    }

    /// Seconds until the next turn begins.
    private func turnBegins(in balance: Double, _ state: State) -> Double {
        (threshold - balance) / (state.bucket?.rate ?? 1)
    }

    /// Makes the alarm ring after some seconds at the latest; turns that are near to each other begin together.
    private func setAlarm(after seconds: Double, _ state: inout State) {
        let sleep = min(Self.longestSleep, max(Self.shortestSleep, seconds))
        let time = clock() + sleep
        if let ringsAt = state.ringsAt, ringsAt <= time { return }
        state.ringsAt = time
        state.alarm?.set(after: sleep)
    }

    // MARK: Windows and quotas

    private func standing(_ state: inout State, now: Int64) -> MeterStanding {
        let window: TransferWindows.Standing
        if let (since, known) = state.standing, since <= now, known.until.map({ now < $0 }) ?? true {
            window = known
        } else {
            window = windows.standing(at: now)
            state.standing = (now, window)
        }
        var pauses: [TransferPause] = []
        if !window.isOpen, let until = window.until {
            pauses.append(
                TransferPause(.window, "no transfer window is open", until: until, in: windows.timeZone))
        }
        if let pause = ledger?.pause(at: now) { pauses.append(pause) }
        // Nothing goes on before the last of them ends.
        guard let pause = pauses.max(by: { $0.until < $1.until }) else { return .open }
        return pause.until - now <= Self.hold ? .held(pause) : .stopped(pause)
    }
}

/// One connection's place with the meter. Its fields are the meter's, under the meter's lock.
final class MeteredFlow: @unchecked Sendable {
    /// Offers the bytes again that were to come later.
    let resume: @Sendable () -> Void
    fileprivate var isQueued = false
    /// Bytes that it may still read while others wait.
    fileprivate var turn = 0

    /// - Parameter resume: offers the bytes again; called from any thread, at most once for each `.later`
    init(resume: @escaping @Sendable () -> Void) { self.resume = resume }
}

/// Rings once, some time after it was set. Setting it again replaces the time.
protocol Alarm: Sendable {
    func set(after seconds: Double)
}

/// One timer of the system. Dispatch sources may be scheduled from any thread, which makes it `Sendable`.
final class DispatchAlarm: Alarm, @unchecked Sendable {
    private let timer: any DispatchSourceTimer

    init(_ ring: @escaping @Sendable () -> Void) {
        timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "rollcall.meter", qos: .userInitiated))
        timer.setEventHandler(handler: ring)
        timer.schedule(deadline: .distantFuture)
        timer.resume()
    }

    deinit { timer.cancel() }

    func set(after seconds: Double) {
        timer.schedule(deadline: .now() + seconds, leeway: .microseconds(500))
    }
}
