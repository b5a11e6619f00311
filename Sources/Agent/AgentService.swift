import HTTP
import Logging
import OCI
import ObjectStore
import Readiness
import ServiceLifecycle
import Transfer

/// The loop of `rollcall-agent run` under one set of settings: passes whenever the environment's record changes, something
/// is missing, or time has passed.
///
/// No failure ends it: what is out of reach now is tried again after the next wait. On a graceful shutdown it stops
/// waiting at once, and lets a pass that is under way go on until the service group's patience ends and cancels it.
struct AgentService: Service {
    let pass: SitePass
    let audit: ContentAudit
    let interval: Duration
    let verifyInterval: Duration
    let timing: Timing
    let logger: Logger
    /// Who is told how it goes.
    var status = AgentStatus()
    /// Whom each step is a sign of life to.
    var heartbeat = Heartbeat()
    /// What is looked at before it hurts.
    var surroundings = Surroundings()
    /// Who asks for passes; `nil` where nobody can.
    var requests: PassRequests?

    func run() async throws {
        var schedule = RunSchedule(interval: interval, verifyInterval: verifyInterval)
        var known: CentralStore.VersionedRecord?
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            heartbeat.sign()
            surroundings.look(status, logger)
            // Those who ask later are answered by the next pass.
            let asked = requests?.pending ?? []
            do {
                if let report = try await poll(&known, &schedule, asked) { requests?.answer(asked, .init(report)) }
            } catch is CancellationError {
                break
            } catch {
                schedule.finished(at: timing.now(), complete: false)
                if Task.isCancelled { break }
                status.passFailed(error)
                logger.error("the pass failed", metadata: ["reason": "\(error)"])
                requests?.answer(asked, .init(failure: error))
            }
            let wait = schedule.wait(chance: timing.chance(), now: timing.now())
            heartbeat.waits(for: wait)
            await sleep(wait)
        }
        status.passAbandoned()
    }

    /// Waits until the time is over, somebody asks for a pass, or the shutdown begins.
    private func sleep(_ wait: Duration) async {
        let (sleep, requests) = (timing.sleep, requests)
        await withTaskGroup { group in
            group.addTask { try? await cancelWhenGracefulShutdown { try await sleep(wait) } }
            if let requests { group.addTask { await requests.wait() } }
            _ = await group.next()
            group.cancelAll()
        }
    }

    /// - Returns: the pass that was made; `nil` where none was due
    private func poll(
        _ known: inout CentralStore.VersionedRecord?, _ schedule: inout RunSchedule, _ asked: [PassRequests.Request]
    ) async throws -> PassReport? {
        let fresh = try await readRecord(changedSince: known?.etag)
        heartbeat.sign()
        // Its outbox is the coordinators' business.
        let changed =
            fresh.map {
                $0.record.lists != known?.record.lists || $0.record.rollbackDepth != known?.record.rollbackDepth
            } ?? false
        known = fresh ?? known
        let isDamaged = audit.takeNews()
        guard let record = known?.record else { return nil }
        let isDue = schedule.isDue(changed: changed || isDamaged, now: timing.now())
        guard isDue || !asked.isEmpty else { return nil }
        let reason =
            changed
            ? "the record has changed"
            : isDamaged ? "damage was found" : isDue ? schedule.reason(now: timing.now()) : "somebody asked for it"
        // Who asks for a look only gets one, unless the agent would fetch now anyway.
        let mode: SitePass.Mode = isDue || asked.contains { $0.mode == .sync } ? .sync : .verify
        let number = status.passStarted(reason)
        var logger = logger
        logger[metadataKey: "pass"] = .stringConvertible(number)
        logger.info("pass started", metadata: ["reason": "\(reason)"])
        let start = timing.now()
        var pass = pass
        pass.witness = PassWitness(logger: logger, sign: heartbeat.sign) { [surroundings, status, logger] bytes in
            surroundings.look(status, logger, toCome: bytes)
        }
        pass.registry = pass.registry.signing(heartbeat.sign)
        pass.witness.published = { [status] in status.storeReached() }
        let report = try await askingTheStoreMeanwhile(knowing: known?.etag) {
            try await pass.run(mode, record: record)
        }
        status.passFinished(report)
        // For the next start, which would otherwise not know. Without it, monitoring is only late.
        try? pass.state.remember(provedAt: status.now())
        let resumesIn = report.pause.map { Double($0.until) - timing.unixTime() }
        schedule.finished(
            at: timing.now(), complete: report.isComplete || report.isStuck,
            resumesAt: resumesIn.map { timing.now() + .seconds(max(0, $0)) })
        log(report, duration: timing.now() - start, logger)
        try audit.update(report.closure)
        return report
    }

    private func readRecord(changedSince etag: ETag?) async throws -> CentralStore.VersionedRecord? {
        do {
            let record = try await pass.central.record(of: pass.environment, changedSince: etag)
            status.storeReached()
            return record
        } catch {
            if !Task.isCancelled { status.storeFailed(error) }
            throw error
        }
    }

    /// Runs `body`, and reads the record and looks around from time to time meanwhile. A pass may ask its registry, or bring,
    /// for days: nobody must take that for a store that is out of reach, and one that is must be noticed all the same.
    ///
    /// - Parameter etag: the version of the record that is known: it is not read again while it is that
    private func askingTheStoreMeanwhile<Result: Sendable>(
        knowing etag: ETag?, _ body: () async throws -> Result
    ) async throws -> Result {
        guard let interval = pass.reporting?.interval else { return try await body() }
        let watch = Task {
            var etag = etag
            while (try? await Task.sleep(for: interval)) != nil {
                // What has changed is for the next look: a pass is about the record that it began with.
                if let fresh = try? await readRecord(changedSince: etag) { etag = fresh.etag }
                surroundings.lookAgain(status, logger)
            }
        }
        defer { watch.cancel() }
        return try await body()
    }

    private func log(_ report: PassReport, duration: Duration, _ logger: Logger) {
        for line in report.complaints { logger.warning("\(line)") }
        for holding in report.holdings {
            logger.log(
                level: holding.missingEntries == 0 ? .info : .warning, "list verified",
                metadata: PassWitness.name(holding.list, holding.generation).merging([
                    "entries": .stringConvertible(holding.entries),
                    "missing": .stringConvertible(holding.missingEntries),
                ]) { $1 })
        }
        logger.log(
            level: report.isComplete ? .info : .warning, "pass finished",
            metadata: [
                "complete": .stringConvertible(report.isComplete),
                "lists": .stringConvertible(report.lists),
                "entries": .stringConvertible(report.closure.entries.count),
                "bytes": .stringConvertible(report.closure.uniqueBytes),
                "missing": .stringConvertible(report.missing.count),
                "damaged": .stringConvertible(report.damaged.count),
                "postponed": .stringConvertible(report.postponed),
                "delivered": .stringConvertible(report.delivered.count),
                "seconds": .string(String(Int64(duration.seconds.rounded()))),
            ])
    }
}
