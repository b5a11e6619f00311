import HTTP
public import OCI
public import Registry
import Synchronization

extension TransferEngine {
    /// Whether so few of what was asked failed that it is single contents that cannot be read, and not the registry that
    /// fails. distribution answers 500 for a manifest whose file was damaged.
    static func areSingleContents(_ failures: Int, of questions: Int) -> Bool {
        failures < questions && failures <= max(10, questions / 100)
    }

    /// Asks the destination to show each entry, many at once: the last byte of a blob, the whole of a manifest.
    ///
    /// - Throws: `TransferError.destinationFailed` as soon as one question gets no answer: what is not known to be there
    ///   or to be missing must not be taken for either
    public func inventory(of entries: [ClosureEntry]) async throws(TransferError) -> Inventory {
        let (destination, board) = (destination, context.board)
        let answers = await bounded(entries, atOnce: context.limits.checks) {
            entry -> Result<ContentProof, TransferError> in
            defer { board.update { $0.answers += 1 } }
            do throws(TransferError) {
                return .success(try await destination.proof(of: entry))
            } catch {
                return .failure(error)
            }
        } stopWhen: { answer in
            if case .failure(let error) = answer { error.code != .destinationUnreadable } else { false }
        }
        // The failure that stopped the others, not one of those that it stopped.
        let failures = answers.compactMap { answer -> TransferError? in
            if case .failure(let error) = answer { error } else { nil }
        }
        let unreadable = failures.filter { $0.code == .destinationUnreadable }
        if unreadable.count < failures.count || !Self.areSingleContents(unreadable.count, of: entries.count) {
            if let error = failures.first(where: { ![.cancelled, .destinationUnreadable].contains($0.code) })
                ?? failures.first
            {
                throw error
            }
        }
        var present: [ClosureEntry] = []
        var missing: [ClosureEntry] = []
        var broken: [ClosureEntry.Identity: String] = [:]
        for (entry, answer) in zip(entries, answers) {
            switch answer {
            case .success(.shown): present.append(entry)
            case .success(.absent): missing.append(entry)
            case .success(.broken(let reason)):
                missing.append(entry)
                broken[entry.identity] = reason
            case .failure(let error) where error.code == .destinationUnreadable:
                missing.append(entry)
                broken[entry.identity] = error.message
            case .failure, nil: throw TransferError(.cancelled, "the inventory was stopped")
            }
        }
        return Inventory(present: present, missing: missing, broken: broken)
    }

    /// Reads an entry back from the destination and hashes it.
    ///
    /// - Parameter budget: how fast, and how much a day
    /// - Throws: `TransferError.destinationFailed` where nothing is known; `.paused` where the day's budget is used up;
    ///   `.cancelled`
    public func readBack(_ entry: ClosureEntry, budget: ReadBudget = ReadBudget()) async throws(TransferError)
        -> ContentProof
    {
        let repository = try destination.name(of: entry.repository)
        if case .stopped(let pause) = budget.meter.standing { throw .pausedReading(pause) }
        if entry.kind == .manifest || entry.size == 0 {
            guard await budget.meter.take(entry.chargedBytes) else {
                if case .stopped(let pause) = budget.meter.standing { throw .pausedReading(pause) }
                throw TransferError(.cancelled, "reading \(entry.digest) back was stopped")
            }
            do throws(TransferError) {
                return try await destination.proof(of: entry)
            } catch {
                guard error.code == .destinationUnreadable else { throw error }
                return .broken(error.message)
            }
        }
        return try await destination.client.readBack(
            entry.digest, of: entry.size, in: repository, meter: budget.meter)
    }

    /// Brings manifests once more whose push the destination accepted, and that it does not serve all the same: first their
    /// bytes as a blob, which some registries write where they do not write a manifest that they think they have.
    ///
    /// - Returns: what failed, for each entry that did
    public func mend(_ manifests: [ClosureEntry]) async -> [(ClosureEntry, TransferError)] {
        let destination = destination
        let pass = TransferPass(
            inventory: Inventory(), tags: [], sources: sources, destination: destination, spool: spool,
            context: context,
            events: PassEvents())
        let answers = await bounded(manifests, atOnce: context.limits.checks) { entry -> TransferError? in
            do throws(TransferError) {
                let fetched = try await pass.fetch(entry).get()
                let repository = try destination.name(of: entry.repository)
                do throws(RegistryError) {
                    try await destination.client.uploadAsBlob(fetched.bytes, digest: fetched.digest, to: repository)
                } catch {
                    throw TransferError(destination: error)
                }
                try await destination.push(fetched, entry)
                return nil
            } catch {
                return error
            }
        }
        return zip(manifests, answers).compactMap { entry, answer in answer.flatMap { $0 }.map { (entry, $0) } }
    }
}

/// How fast content is read back, and how much of it a day.
public struct ReadBudget: Sendable {
    let meter: any ByteMeter

    /// No bound.
    public init() { meter = Unmetered() }

    /// - Parameters:
    ///   - rate: bytes a second; `nil` for any
    ///   - perDay: bytes in one day of the time zone; `nil` for any
    ///   - ledger: a file that the bytes are counted in by day, across runs
    ///   - timeZone: the site's
    /// - Throws: `TransferError.spoolFailed` where the ledger cannot be had
    public init(rate: Int64?, perDay: Int64?, ledger: String, timeZone: SiteTimeZone) throws(TransferError) {
        var limits = TransferLimits()
        limits.rate = rate
        limits.quotaPerDay = perDay
        limits.windows = TransferWindows(timeZone: timeZone, windows: [])
        meter = try TransferEngine.meter(limits, ledger: ledger)
    }

    private init(_ meter: any ByteMeter) { self.meter = meter }

    /// The same budget, and somebody who is told of each piece that is read: a large blob takes long.
    ///
    /// - Parameter onPiece: called from any thread; must not block
    public func telling(_ onPiece: @escaping @Sendable () -> Void) -> ReadBudget {
        ReadBudget(ToldMeter(meter: meter, onPiece: onPiece))
    }

    /// Until when nothing may be read, in seconds since 1970; `nil` while something may.
    public var pausedUntil: Int64? {
        switch meter.standing {
        case .open: nil
        case .held(let pause), .stopped(let pause): pause.until
        }
    }
}

/// A meter, and somebody who is told of each piece that it admits.
private struct ToldMeter: ByteMeter {
    let meter: any ByteMeter
    let onPiece: @Sendable () -> Void

    func admit(_ count: Int, of flow: MeteredFlow) -> ByteMeterAnswer {
        let answer = meter.admit(count, of: flow)
        if case .now = answer { onPiece() }
        return answer
    }

    var standing: MeterStanding { meter.standing }
    func flush() { meter.flush() }
}
