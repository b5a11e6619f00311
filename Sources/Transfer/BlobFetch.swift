import HTTP
import OCI
import Registry

/// Fetches one blob's missing bytes from the sources into its pump, over as many connections as the gates give.
struct BlobFetch: Sendable {
    let task: BlobTask
    let planner: SharedPlanner
    let pump: BlobPump
    let sources: [ActiveSource]
    let context: TransferContext

    /// The shortest range worth dividing, in bytes.
    static let minimumDivision: Int64 = 256 << 10
    /// A range that will be done within this many seconds is not divided.
    static let patience = 1.0
    /// The most failed requests for one blob.
    static let failureLimit = 12

    /// Ends when every byte has been handed to the pump.
    ///
    /// - Throws: `TransferError.sourceFailed` when no source delivers the rest
    func run() async throws(TransferError) {
        let missing = planner.with { $0.missing }
        guard missing > 0 else { return }
        let failures = FailureCount(limit: Self.failureLimit)
        let workers = Int(min(Int64(context.limits.connections), max(1, missing / Self.minimumDivision)))
        let failure: TransferError? = await withTaskGroup(of: TransferError?.self) { group in
            for _ in 0..<workers {
                group.addTask {
                    do throws(TransferError) {
                        try await work(failures)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            var first: TransferError?
            for await error in group {
                if let error {
                    first = first ?? error
                    group.cancelAll()
                } else if planner.with({ $0.isComplete }) {
                    // Requests whose leases were taken over have nothing left to bring.
                    group.cancelAll()
                }
            }
            return first
        }
        if planner.with({ $0.isComplete }) { return }
        throw failure ?? TransferError(.cancelled, "the transfer of \(task.digest) was stopped")
    }

    /// One connection's life: take a slot at a source, take a range, fetch it, give the slot back.
    private func work(_ failures: FailureCount) async throws(TransferError) {
        while !planner.with({ $0.isComplete }) {
            guard !Task.isCancelled else { throw TransferError(.cancelled, "the transfer was stopped") }
            let source = try chooseSource()
            do { try await source.gate.acquire() } catch {
                throw TransferError(.cancelled, "the transfer of \(task.digest) was stopped")
            }
            guard let lease = takeLease(source) else {
                source.gate.release()
                // Others bring the rest. Stay near, in case one of them gets slow or fails.
                guard await context.pause(.milliseconds(200)) else { return }
                continue
            }
            let result = await fetch(lease, from: source)
            planner.with { $0.finish(lease.id) }
            source.gate.release()
            guard case .failure(let failure) = result else { continue }
            if case .spoolFailure = failure { return }
            guard case .sourceFailure(let reason) = failure else { continue }
            source.failed(reason)
            context.board.update { $0.retries += 1 }
            guard failures.add() else {
                throw TransferError(
                    .sourceFailed, "cannot fetch \(task.digest): \(reason)")
            }
            _ = await context.pause(failures.backoff(chance: context.chance()))
        }
    }

    private func chooseSource() throws(TransferError) -> ActiveSource {
        // The first usable one in order that has room; else the first usable one.
        let usable = sources.filter(\.isUsable)
        guard let first = usable.first else {
            let reasons = sources.compactMap { source in source.lastFailure.map { "\(source.name): \($0)" } }
            throw TransferError(
                .sourceFailed, "cannot fetch \(task.digest): no source is usable (\(reasons.joined(separator: "; ")))")
        }
        return usable.first { $0.gate.hasRoom } ?? first
    }

    private func takeLease(_ source: ActiveSource) -> RangePlanner.Lease? {
        let now = context.clock()
        // Each further request would bring the same bytes from the start.
        if source.ignoresRanges { return planner.with { $0.next(length: .max, now: now) } }
        let length = rangeLength(connections: source.gate.limit)
        return planner.with { planner in
            planner.next(length: length, now: now)
                ?? planner.divide(patience: Self.patience, minimum: Self.minimumDivision, now: now)
        }
    }

    /// A quarter of a connection's fair share, so that the prefix grows and there is something to balance with.
    private func rangeLength(connections: Int) -> Int64 {
        let share = task.size / Int64(max(1, connections) * 4)
        return min(max(share, 1 << 20), 32 << 20)
    }

    private enum FetchFailure: Error {
        /// The source's fault, or the way's.
        case sourceFailure(String)
        /// Ours: the pump has ended, and says why.
        case spoolFailure
        /// The source served the whole blob where a range was asked for: to be asked again otherwise.
        case unranged
        case cancelled
    }

    private func fetch(_ lease: RangePlanner.Lease, from source: ActiveSource) async -> Result<Void, FetchFailure> {
        let isWhole = source.ignoresRanges || (lease.start == 0 && lease.end == task.size)
        let sink = RangeSink(
            lease: lease, skipping: isWhole ? lease.start : 0, planner: planner, pump: pump, pool: context.pool,
            meter: context.meter
        ) { count in
            source.gate.received(Int64(count))
            context.board.received(Int64(count), of: task.digest, from: source.name)
        }
        defer { sink.flush() }
        do {
            let repository = try source.source.mapping.destination(of: task.missingIn[0])
            let delivery = try await source.source.client.fetchBlob(
                repository, task.digest, range: isWhole ? nil : lease.start...(lease.end - 1), size: task.size,
                into: sink)
            // A new connection took a round trip of its own before the request's.
            source.gate.measured(roundTrip: delivery.timeToFirstByte / (delivery.openedConnection ? 2 : 1))
        } catch {
            if sink.isSatisfied { return .success(()) }
            if Task.isCancelled { return .failure(.cancelled) }
            if sink.isRefusedByPump { return .failure(.spoolFailure) }
            if let error = error as? RegistryError, error.code == .rangeIgnored {
                source.ignoresRanges = true
                return .failure(.unranged)
            }
            return .failure(.sourceFailure("\(error)"))
        }
        guard sink.isSatisfied else {
            return .failure(.sourceFailure("the response ended after \(sink.receivedBytes) of the range's bytes"))
        }
        source.succeeded()
        return .success(())
    }
}
