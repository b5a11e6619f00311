import HTTP
import Logging
import OCI
import ObjectStore
import Readiness
import ServiceLifecycle
import Transfer

/// `rollcall-agent run`: passes whenever the environment's record changes, something is missing, or time has passed.
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

    func run() async throws {
        var schedule = RunSchedule(interval: interval, verifyInterval: verifyInterval)
        var known: CentralStore.VersionedRecord?
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            do {
                try await poll(&known, &schedule)
            } catch is CancellationError {
                break
            } catch {
                schedule.finished(at: timing.now(), complete: false)
                if Task.isCancelled { break }
                logger.error("the pass failed", metadata: ["reason": "\(error)"])
            }
            let wait = schedule.wait(chance: timing.chance(), now: timing.now())
            let sleep = timing.sleep
            // Ends early, by an error, when the shutdown begins.
            try? await cancelWhenGracefulShutdown { try await sleep(wait) }
        }
        logger.info("stopped")
    }

    private func poll(_ known: inout CentralStore.VersionedRecord?, _ schedule: inout RunSchedule) async throws {
        let fresh = try await pass.central.record(of: pass.environment, changedSince: known?.etag)
        // Its outbox is the coordinators' business.
        let changed =
            fresh.map {
                $0.record.lists != known?.record.lists || $0.record.rollbackDepth != known?.record.rollbackDepth
            } ?? false
        known = fresh ?? known
        let isDamaged = audit.takeNews()
        guard let record = known?.record, schedule.isDue(changed: changed || isDamaged, now: timing.now()) else {
            return
        }
        let reason = changed ? "the record has changed" : isDamaged ? "damage was found" : "verification is due"
        logger.info("pass started", metadata: ["reason": "\(reason)"])
        let start = timing.now()
        let report = try await pass.run(.sync, record: record)
        let resumesIn = report.pause.map { Double($0.until) - timing.unixTime() }
        schedule.finished(
            at: timing.now(), complete: report.isComplete || report.isStuck,
            resumesAt: resumesIn.map { timing.now() + .seconds(max(0, $0)) })
        log(report, duration: timing.now() - start)
        try audit.update(report.closure)
    }

    private func log(_ report: PassReport, duration: Duration) {
        for line in report.complaints { logger.warning("\(line)") }
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
