import CoreMetrics
import Glibc
import HTTP
import OCI
import Readiness
import Synchronization
import Telemetry
import Transfer

/// What the agent exports, and how it comes from what the agent knows. docs/metrics.md describes each; a test compares.
final class AgentFigures: Sendable {
    private static func counter(_ name: String, _ help: String, _ labels: [String] = []) -> MetricFamily {
        MetricFamily("rollcall_agent_\(name)", .counter, help, labels: labels)
    }
    private static func gauge(_ name: String, _ help: String, _ labels: [String] = []) -> MetricFamily {
        MetricFamily("rollcall_agent_\(name)", .gauge, help, labels: labels)
    }

    static let info = gauge("info", "1; what runs, as labels.", ["version", "site", "environment"])
    static let startTime = gauge("start_time_seconds", "When the agent started, in seconds since 1970.")
    static let memory = gauge("resident_memory_bytes", "Memory of the process that is in RAM.")
    static let silence = gauge(
        "loop_silence_seconds", "Seconds without a sign of life of the loop of passes where one was to be expected.")
    static let settingsGood = gauge("settings_good", "1 while the settings on the disk are those in use, 0 otherwise.")
    static let reloads = counter("settings_loads_total", "Settings that were loaded, by outcome.", ["outcome"])

    static let passes = counter("passes_total", "Passes that have ended, by outcome.", ["outcome"])
    static let passRunning = gauge("pass_running", "1 while a pass is under way, 0 otherwise.")
    static let passSeconds = MetricFamily(
        "rollcall_agent_pass_seconds", .histogram([1, 10, 60, 600, 3600, 21_600, 86_400]), "How long passes took.")
    static let proved = gauge(
        "proved_timestamp_seconds",
        "When the site's cache manifest was published last at the end of a pass; 0 for never.")
    static let complete = gauge(
        "complete_timestamp_seconds", "When a pass ended last with nothing missing; 0 for never.")
    static let lists = gauge("lists", "List generations that the last pass verified.")
    static let entries = gauge("entries", "Blobs and manifests that the lists need.")
    static let bytes = gauge("bytes", "Bytes that the lists need, each digest once.")
    static let missing = gauge(
        "missing_entries", "Of the entries, those that were missing at the end of the last pass.")
    static let missingBytes = gauge("missing_bytes", "Bytes of the missing entries, each digest once.")
    static let damaged = gauge("damaged_entries", "Of the missing entries, those that are there and damaged.")
    static let listMissing = gauge(
        "list_missing_entries", "Missing entries by list and generation, at the end of the last pass.",
        ["list", "generation"])

    static let fetched = counter("fetched_bytes_total", "Bytes from sources, failed attempts included.", ["source"])
    static let sourceFailures = counter("source_failures_total", "Requests to sources that failed.", ["source"])
    static let sourceCorrupt = counter(
        "source_corrupt_blobs_total", "Blobs that a source served with other bytes than their digest's.", ["source"])
    static let sourceUsable = gauge("source_usable", "1 while a source may be asked, 0 while it rests.", ["source"])
    static let sent = counter(
        "sent_bytes_total", "Bytes of uploads to the regional registry, failed attempts included.")
    static let resumed = counter("resumed_bytes_total", "Bytes that an earlier run had left in the spool.")
    static let deliveredBlobs = counter("delivered_blobs_total", "Blobs that the regional registry has taken.")
    static let deliveredManifests = counter(
        "delivered_manifests_total", "Manifests that the regional registry has taken.")
    static let deliveredBytes = counter("delivered_bytes_total", "Bytes of delivered blobs, each digest once.")
    static let failures = counter("entry_failures_total", "Entries that were given up; the next pass tries again.")
    static let retries = counter("retries_total", "Requests of transfers that were sent again.")
    static let remaining = gauge("remaining_bytes", "Bytes that the pass under way has yet to receive.")
    static let active = gauge("active_blobs", "Blobs on their way.")
    static let paused = gauge(
        "paused", "1 while the site's limits allow no transfers, by which limit; 0 otherwise.", ["reason"])

    static let storeReached = gauge(
        "store_reached_timestamp_seconds", "When the object store answered the agent last; 0 for never.")
    static let hostFaults = counter(
        "host_faults_total", "Requests that failed, and refusals (403, 429, 5xx).", ["host"])
    static let clockLead = gauge(
        "clock_lead_seconds", "How far a host's clock is ahead of this machine's; negative where it is behind.",
        ["host"])
    static let diskFree = gauge("disk_free_bytes", "Bytes that may still be written to a directory.", ["directory"])
    static let diskNeeded = gauge(
        "disk_needed_bytes", "Bytes that are to come into a directory, as far as is known.", ["directory"])

    /// Everything, in the order of the exposition.
    static let families = [
        info, startTime, memory, silence, settingsGood, reloads, passes, passRunning, passSeconds, proved, complete,
        lists,
        entries, bytes, missing, missingBytes, damaged, listMissing, fetched, sourceFailures, sourceCorrupt,
        sourceUsable,
        sent, resumed, deliveredBlobs, deliveredManifests, deliveredBytes, failures, retries, remaining, active, paused,
        storeReached, hostFaults, clockLead, diskFree, diskNeeded,
    ]

    /// What the exposition was last made of: counters grow by the difference.
    private struct Shown {
        var transfer = TransferProgress()
        var passes: [AgentStatus.Outcome: Int] = [:]
        var lastPass = 0
        var applied = 0
        var refused = 0
        var hosts: [String: Int] = [:]
        /// The hosts whose clocks are shown.
        var clocks: Set<String> = []
        var lists: [(String, String)] = []
        var sources: Set<String> = []
    }

    private let factory: PrometheusFactory
    private let version: String
    private let shown = Mutex(Shown())

    init(version: String, factory: PrometheusFactory = PrometheusFactory(AgentFigures.families)) {
        self.version = version
        self.factory = factory
    }

    /// The figures as Prometheus text.
    ///
    /// - Parameter view: what is known; asked while no other text is made. Of two looks at the same time the older one would
    ///   be taken for a board that has begun anew, and everything counted once more.
    func text(of view: () -> AgentView) -> String {
        shown.withLock { update(view(), &$0) }
        return factory.text
    }

    private func update(_ view: AgentView, _ shown: inout Shown) {
        let state = view.state
        set(Self.info, 1, [("version", version), ("site", state.site), ("environment", state.environment)])
        set(Self.startTime, state.startedAt)
        set(Self.memory, Double(Self.residentMemory))
        set(Self.silence, view.silence.seconds)
        set(Self.settingsGood, state.settings.refusal == nil ? 1 : 0)
        add(Self.reloads, state.settings.applied - shown.applied, [("outcome", "applied")])
        add(Self.reloads, state.settings.refused - shown.refused, [("outcome", "refused")])
        (shown.applied, shown.refused) = (state.settings.applied, state.settings.refused)

        for outcome in AgentStatus.Outcome.allCases {
            add(
                Self.passes, (state.passes[outcome] ?? 0) - (shown.passes[outcome] ?? 0),
                [("outcome", outcome.rawValue)])
        }
        shown.passes = state.passes
        set(Self.passRunning, state.running == nil ? 0 : 1)
        set(Self.proved, state.provedAt)
        set(Self.complete, state.completeAt)
        if let last = state.finished {
            if last.number > shown.lastPass {
                // Of several passes between two looks the last one is observed.
                Recorder(label: Self.passSeconds.name, factory: factory).record(last.seconds)
                shown.lastPass = last.number
            }
            set(Self.entries, Double(last.entries))
            set(Self.bytes, Double(last.bytes))
            set(Self.missing, Double(last.missing))
            set(Self.missingBytes, Double(last.missingBytes))
            set(Self.damaged, Double(last.damaged))
        }
        set(Self.lists, Double(state.holdings.count))
        let lists = state.holdings.map { ($0.list.text, $0.generation.short) }
        for gone in shown.lists where !lists.contains(where: { $0 == gone }) {
            remove(Self.listMissing, [("list", gone.0), ("generation", gone.1)])
        }
        shown.lists = lists
        for holding in state.holdings {
            set(
                Self.listMissing, Double(holding.missingEntries),
                [("list", holding.list.text), ("generation", holding.generation.short)])
        }
        transfer(view, &shown)
        set(Self.storeReached, state.storeReachedAt)
        hosts(view, &shown)
        for disk in view.disks {
            set(Self.diskFree, Double(disk.available), [("directory", disk.path)])
            set(Self.diskNeeded, Double(disk.needed), [("directory", disk.path)])
        }
    }

    private func hosts(_ view: AgentView, _ shown: inout Shown) {
        // What is over makes room first, and does not stand there as if it were so still.
        let clocks = Set(view.hosts.filter { $0.value.clockLead != nil }.keys)
        for gone in shown.clocks.subtracting(clocks) { remove(Self.clockLead, [("host", gone)]) }
        shown.clocks = clocks
        for gone in shown.hosts.keys.filter({ view.hosts[$0] == nil }) {
            remove(Self.hostFaults, [("host", gone)])
            shown.hosts[gone] = nil
        }
        for (host, standing) in view.hosts {
            add(Self.hostFaults, standing.faults - (shown.hosts[host] ?? 0), [("host", host)])
            shown.hosts[host] = standing.faults
            if let lead = standing.clockLead { set(Self.clockLead, lead, [("host", host)]) }
        }
    }

    private func transfer(_ view: AgentView, _ shown: inout Shown) {
        // New settings bring a new board, which begins at zero.
        let now = view.transfer
        let before = now.isContinued(from: shown.transfer) ? shown.transfer : TransferProgress()
        shown.transfer = now
        let sources = Set(view.sources.map(\.name))
        for gone in shown.sources.subtracting(sources) {
            for family in [Self.fetched, Self.sourceFailures, Self.sourceCorrupt, Self.sourceUsable] {
                remove(family, [("source", gone)])
            }
        }
        shown.sources = sources
        for source in view.sources {
            let label = [("source", source.name)]
            add(Self.fetched, (now.sources[source.name] ?? 0) - (before.sources[source.name] ?? 0), label)
            let (fault, faultBefore) = (now.sourceFaults[source.name], before.sourceFaults[source.name])
            add(Self.sourceFailures, (fault?.failures ?? 0) - (faultBefore?.failures ?? 0), label)
            add(Self.sourceCorrupt, (fault?.corruptBlobs ?? 0) - (faultBefore?.corruptBlobs ?? 0), label)
            set(Self.sourceUsable, source.state == .usable ? 1 : 0, label)
        }
        add(Self.sent, now.sentBytes - before.sentBytes)
        add(Self.resumed, now.resumedBytes - before.resumedBytes)
        add(Self.deliveredBlobs, now.deliveredBlobs - before.deliveredBlobs)
        add(Self.deliveredManifests, now.deliveredManifests - before.deliveredManifests)
        add(Self.deliveredBytes, now.deliveredBytes - before.deliveredBytes)
        add(Self.failures, now.failures - before.failures)
        add(Self.retries, now.retries - before.retries)
        let isRunning = view.state.running != nil
        set(Self.remaining, isRunning ? Double(max(0, now.totalBytes - now.receivedBytes)) : 0)
        set(Self.active, Double(now.active.count))
        for reason: TransferPause.Reason in [.window, .quotaPerDay, .quotaPerMonth] {
            set(Self.paused, now.pause?.reason == reason ? 1 : 0, [("reason", reason.name)])
        }
    }

    private func set(_ family: MetricFamily, _ time: Timestamp?) { set(family, Double(time?.seconds ?? 0)) }

    private func set(_ family: MetricFamily, _ value: Double, _ labels: [(String, String)] = []) {
        Meter(label: family.name, dimensions: labels, factory: factory).set(value)
    }

    private func add<Amount: BinaryInteger>(_ family: MetricFamily, _ amount: Amount, _ labels: [(String, String)] = [])
    {
        Counter(label: family.name, dimensions: labels, factory: factory).increment(by: max(0, amount))
    }

    /// Takes a series out, of whatever kind.
    private func remove(_ family: MetricFamily, _ labels: [(String, String)]) {
        Meter(label: family.name, dimensions: labels, factory: factory).destroy()
    }

    /// Bytes of this process in RAM, as the kernel says (proc(5), `statm`); 0 where it does not.
    private static var residentMemory: Int64 {
        guard let file = fopen("/proc/self/statm", "re") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 200)
        guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0
        return pages.multipliedReportingOverflow(by: Int64(sysconf(Int32(_SC_PAGESIZE)))).partialValue
    }
}

extension TransferProgress {
    /// Whether these figures can come after others of the same board.
    fileprivate func isContinued(from before: TransferProgress) -> Bool {
        fetchedBytes >= before.fetchedBytes && answers >= before.answers && sentBytes >= before.sentBytes
            && deliveredBlobs >= before.deliveredBlobs && retries >= before.retries
    }
}
