import HTTP
import OCI
import Registry
import Synchronization

/// Fetches one blob's missing bytes from the sources into its pump, over as many connections as the gates give.
struct BlobFetch: Sendable {
    let task: BlobTask
    let planner: SharedPlanner
    let pump: BlobPump
    let sources: [ActiveSource]
    let context: TransferContext
    /// The names of the sources whose bytes were taken.
    let contributors = Contributors()

    /// When a range that is under way is divided with another connection.
    ///
    /// Dividing drops what is on its way of the second half, and with the connection the window that it had opened.
    struct Division: Equatable {
        /// A range that will be done within this many seconds is left alone.
        let patience: Double
        /// The shortest rest worth halving, in bytes.
        let minimum: Int64

        /// While others could use the connection.
        static let busy = Division(patience: 1.5, minimum: 512 << 10)
        /// While nobody else needs it, as at the end of a pass: there, whoever is slow is what everything waits for.
        static let idle = Division(patience: 0.5, minimum: 64 << 10)
    }

    /// A blob gets one connection for each so many bytes, at most.
    static let bytesPerConnection: Int64 = 1 << 20
    /// While connections are idle, another for each so many bytes, up to `helpers`.
    static let bytesPerHelper: Int64 = 128 << 10
    static let helpers: Int64 = 3
    /// Bytes of a request that broke off after which its source counts as one that delivers: more than comes of a request
    /// that is given up for silence.
    static let progress: Int64 = 16 << 10
    /// How long a connection without work waits before it looks for some again.
    static let recheck = Duration.milliseconds(200)

    /// Ends when every byte has been handed to the pump, or the pump has ended.
    ///
    /// - Throws: `TransferError.sourceFailed` when no source delivers the rest
    func run() async throws(TransferError) {
        let missing = planner.with { $0.missing }
        guard missing > 0 else { return }
        let refusals = Refusals()
        // A source may have a bound of its own, above what the others have.
        let most = sources.map(\.connections).max() ?? 1
        let own = Int(max(1, min(Int64(most), missing / Self.bytesPerConnection)))
        let helpers = Int(min(Self.helpers, missing / Self.bytesPerHelper))
        let failure: TransferError? = await withTaskGroup(of: TransferError?.self) { group in
            for index in 0..<own + helpers {
                group.addTask {
                    do throws(TransferError) {
                        try await connect(index, isHelper: index >= own, refusals)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            var first: TransferError?
            for await error in group {
                first = first ?? error
                // Either nothing is left, or nothing can be had: requests whose leases were taken over end with it.
                group.cancelAll()
            }
            return first
        }
        if planner.with({ $0.isComplete }) || pump.hasEnded { return }
        throw failure ?? TransferError(.cancelled, "the transfer of \(task.digest) was stopped")
    }

    /// One connection's life: take a slot at a source, take a range, fetch it, give the slot back.
    ///
    /// - Parameter isHelper: whether it is one that only takes what idle connections may
    private func connect(_ index: Int, isHelper: Bool, _ refusals: Refusals) async throws(TransferError) {
        while !planner.with({ $0.isComplete }), !pump.hasEnded {
            guard !Task.isCancelled else { throw stopped }
            try await context.ready()
            guard let (source, share) = try chooseSource(refusals), isHelper ? source.gate.isIdle : index < share
            else {
                guard await context.pause(Self.recheck) else { throw stopped }
                continue
            }
            do { try await source.gate.acquire(isTiny: isTiny) } catch { throw stopped }
            // Others may have found out meanwhile that it is not to be asked now: whoever waited must not ask it in turn.
            guard source.admits() else {
                source.gate.release(isTiny: isTiny)
                continue
            }
            guard let lease = takeLease(source, isHelper: isHelper) else {
                source.gate.release(isTiny: isTiny)
                source.answered()
                // Others bring the rest. Stay near, in case one of them gets slow or fails.
                guard await context.pause(Self.recheck) else { throw stopped }
                continue
            }
            let before = refusals.forgiven(source.name)
            let result = await fetch(lease, from: source, refusals)
            planner.with { $0.finish(lease.id) }
            source.gate.release(isTiny: isTiny)
            switch result {
            case .success, .failure(.ours): source.answered()
            case .failure(.unranged):
                source.answered()
                source.ignoredRange()
            case .failure(.refusal(let reason)):
                source.answered()
                context.board.update { $0.retries += 1 }
                // Not again at once: who is forgiven has the blob, and was asked at the wrong moment or server.
                guard refusals.add(source.name, reason, after: before) else { continue }
                guard await context.pause(Self.recheck) else { throw stopped }
            case .failure(.passing(let error)):
                source.failed(error)
                context.board.update { $0.retries += 1 }
            }
        }
    }

    private var isTiny: Bool { task.size <= TransferSchedule.Limits().tinyBlobSize }

    private var stopped: TransferError { TransferError(.cancelled, "the transfer of \(task.digest) was stopped") }

    /// The source to ask next, and how many connections this blob may have to it and its equals together; `nil` while
    /// all that are left are resting.
    private func chooseSource(_ refusals: Refusals) throws(TransferError) -> (source: ActiveSource, share: Int)? {
        switch SourceChoice(among: sources.map { $0.candidate(isRefused: refusals[$0.name] != nil) }) {
        case .use(let index, let group): return (sources[index], group.reduce(0) { $0 + sources[$1].gate.share })
        case .wait: return nil
        case .none: break
        }
        // One of the requests under way may be at a server that has what another one lacks.
        if sources.contains(where: { refusals[$0.name] != nil }), planner.with({ !$0.leases.isEmpty }) { return nil }
        throw TransferError(noneDelivers: sources, refusals: { refusals[$0] })
    }

    private func takeLease(_ source: ActiveSource, isHelper: Bool) -> RangePlanner.Lease? {
        let now = context.clock()
        let division = source.gate.isIdle ? Division.idle : .busy
        // One request for all that is left: each further one would bring the same bytes from the start.
        if source.ignoresRanges {
            guard !isHelper else { return nil }
            return planner.with { $0.leases.isEmpty ? $0.next(length: .max, now: now) : nil }
        }
        let length = rangeLength(connections: source.gate.share)
        return planner.with { planner in
            planner.next(length: length, now: now)
                ?? planner.divide(patience: division.patience, minimum: division.minimum, now: now)
        }
    }

    /// A quarter of a connection's fair share, so that the prefix grows and there is something to balance with; on a
    /// single connection as much as one request may bring.
    private func rangeLength(connections: Int) -> Int64 {
        guard connections > 1 else { return 64 << 20 }
        let share = task.size / Int64(connections * 4)
        return min(max(share, 1 << 20), 32 << 20)
    }

    /// How many bytes a connection reads at once: the more of them there are, the less is there for each, and each has a
    /// buffer of that size. All together hold 4 MiB, or 16 KiB each.
    private func readSize(_ source: ActiveSource) -> Int {
        min(context.limits.readSize, max(16 << 10, (4 << 20) / max(1, source.gate.limit)))
    }

    /// What the kernel may receive ahead, where it is not what the source's connections have otherwise: of one that ignores
    /// ranges, each large blob has one connection only, so that there are few.
    private func receiveBuffer(_ source: ActiveSource) -> Int? {
        guard source.ignoresRanges, task.size > TransferSchedule.Limits().largeBlobSize else { return nil }
        return context.limits.receiveBuffer(connections: min(source.connections, context.limits.blobs))
    }

    private enum FetchFailure: Error {
        /// The network's, or a busy server's: it may pass.
        case passing(RegistryError)
        /// The source's answer to this blob: it will not have it next time either.
        case refusal(String)
        /// The source served the whole blob where a range was asked for: to be asked again otherwise.
        case unranged
        /// Not the source's: the lease was taken over, the pump has ended, or the task was cancelled.
        case ours
    }

    private func fetch(
        _ lease: RangePlanner.Lease, from source: ActiveSource, _ refusals: Refusals
    ) async -> Result<Void, FetchFailure> {
        let isWhole = source.ignoresRanges || (lease.start == 0 && lease.end == task.size)
        let sink = RangeSink(
            lease: lease, skipping: isWhole ? lease.start : 0, planner: planner, pump: pump, pool: context.pool,
            meter: context.meter
        ) { handshake in
            source.gate.measured(roundTrip: handshake)
        } onReceived: { count in
            refusals.delivers(source.name)
            source.gate.received(Int64(count))
            context.board.received(Int64(count), of: task.digest, from: source.name)
        }
        defer {
            sink.flush()
            // Not for bytes that were there already, or it would be asked for them for ever; nor for a few that it drips.
            if sink.isSatisfied && sink.acceptedBytes > 0 || sink.acceptedBytes >= Self.progress { source.succeeded() }
            if sink.acceptedBytes > 0 { contributors.add(source.name) }
        }
        do {
            guard let listed = task.missingIn.first else { return .failure(.ours) }
            let repository = try source.source.mapping.destination(of: listed)
            _ = try await source.source.client.fetchBlob(
                repository, task.digest, range: isWhole ? nil : lease.start...(lease.end - 1), size: task.size,
                into: sink, readSize: readSize(source), receiveBuffer: receiveBuffer(source))
        } catch {
            if sink.isSatisfied || sink.isRefusedByPump || sink.isStoppedByMeter || Task.isCancelled {
                return .failure(.ours)
            }
            guard let error = error as? RegistryError else { return .failure(.refusal("\(error)")) }
            if error.code == .rangeIgnored { return .failure(.unranged) }
            return .failure(error.isTransient || error.code == .network ? .passing(error) : .refusal("\(error)"))
        }
        guard sink.isSatisfied else {
            let url = "\(source.name), \(task.digest)"
            return .failure(
                .passing(
                    RegistryError(.network, "the body ended after \(sink.receivedBytes) bytes of a range", url: url)))
        }
        return .success(())
    }
}

/// The sources whose bytes one attempt took.
final class Contributors: Sendable {
    private let state = Mutex<Set<String>>([])

    var names: Set<String> { state.withLock { $0 } }

    func add(_ name: String) {
        state.withLock { _ = $0.insert(name) }
    }
}

/// Which sources refused a blob, and why.
///
/// Behind one name there may be several servers, of which one does not have yet, or serves wrongly, what the others deliver. So
/// a source that has delivered some of the blob is asked again, a few times.
final class Refusals: Sendable {
    private struct State {
        var reasons: [String: String] = [:]
        var delivering: Set<String> = []
        var forgiven: [String: Int] = [:]
    }
    private let state = Mutex(State())

    /// Refusals in a row that one source is forgiven.
    static let forgiven = 8

    subscript(name: String) -> String? { state.withLock { $0.reasons[name] } }

    /// How many refusals a source was forgiven since it delivered something.
    func forgiven(_ name: String) -> Int { state.withLock { $0.forgiven[name] ?? 0 } }

    /// Records that bytes of the blob have come.
    func delivers(_ name: String) {
        state.withLock { state in
            if !state.reasons.isEmpty { state.reasons[name] = nil }
            if !state.forgiven.isEmpty { state.forgiven[name] = nil }
            if !state.delivering.contains(name) { state.delivering.insert(name) }
        }
    }

    /// Records a refusal.
    ///
    /// - Parameter before: how many it had been forgiven when it was asked: of requests that were under way together, one
    ///   counts
    /// - Returns: whether it is forgiven
    func add(_ name: String, _ reason: String, after before: Int) -> Bool {
        state.withLock { state in
            let count = state.forgiven[name] ?? 0
            guard state.delivering.contains(name), state.reasons[name] == nil, count < Self.forgiven || count != before
            else {
                state.reasons[name] = reason
                return false
            }
            if count == before { state.forgiven[name] = count + 1 }
            return true
        }
    }
}
