import FoundationEssentials
import HTTP
import Readiness
import Transfer

/// What `/status` answers, as docs/metrics.md describes it.
struct StatusDocument: Encodable {
    struct Settings: Encodable {
        let file: String
        let loadedAt: String
        /// Whether what is on the disk is in use.
        let current: Bool
        let refusedAt: String?
        let refusal: String?
    }

    struct Pass: Encodable {
        let number: Int
        let startedAt: String?
        let endedAt: String?
        let outcome: String?
        let text: String
        let seconds: Double?
    }

    struct List: Encodable {
        let name: String
        let generation: String
        let entries: Int
        let bytes: Int64
        let missing: Int
        let missingBytes: Int64
        let verifiedAt: String
        let depth: String
        let contentVerifiedAt: String?
    }

    struct Transfer: Encodable {
        let totalBytes: Int64
        let receivedBytes: Int64
        let fetchedBytes: Int64
        let sentBytes: Int64
        let resumedBytes: Int64
        let blobs: Int
        let deliveredBlobs: Int
        let manifests: Int
        let deliveredManifests: Int
        let failures: Int
        let retries: Int
        let active: [Blob]
    }

    struct Blob: Encodable {
        let digest: String
        let bytes: Int64
        let received: Int64
    }

    struct Pause: Encodable {
        let reason: String
        let until: String
        let text: String
    }

    struct Windows: Encodable {
        /// Whether one is open now.
        let open: Bool
        /// When that changes; left out where it never does.
        let until: String?
        let timeZone: String
    }

    struct Source: Encodable {
        let name: String
        let priority: Int
        let weight: Int
        let state: String
        let suspect: Bool
        let bytes: Int64
        let failures: Int
        let corruptBlobs: Int
        let lastFailure: String?
    }

    struct Host: Encodable {
        let answeredAt: String?
        let faults: Int
        let lastFaultAt: String?
        let lastFault: String?
        /// Seconds; negative where its clock is behind.
        let clockLead: Double?
    }

    struct Disk: Encodable {
        let directory: String
        let free: Int64
        let needed: Int64
        let short: Bool
    }

    struct Store: Encodable {
        let reachedAt: String?
        let fault: String?
    }

    let version: String
    let time: String
    let startedAt: String
    let site: String
    let environment: String
    /// Why the agent does not do its work; empty while it does.
    let faults: [String]
    let settings: Settings
    let pass: Pass?
    let lastPass: Pass?
    let lists: [List]
    let transfer: Transfer
    let pause: Pause?
    /// Left out where transfers may run at any time.
    let windows: Windows?
    let sources: [Source]
    let objectStore: Store
    let hosts: [String: Host]
    let disks: [Disk]

    init(_ view: AgentView, version: String, readiness: [String]) {
        let state = view.state
        self.version = version
        time = "\(view.at)"
        startedAt = "\(state.startedAt)"
        site = state.site
        environment = state.environment
        faults = readiness
        settings = Settings(
            file: state.settings.file, loadedAt: "\(state.settings.loadedAt)", current: state.settings.refusal == nil,
            refusedAt: state.settings.refusal.map { "\($0.at)" }, refusal: state.settings.refusal?.text)
        pass = state.running.map {
            Pass(
                number: $0.number, startedAt: "\($0.startedAt)", endedAt: nil, outcome: nil, text: $0.reason,
                seconds: nil)
        }
        lastPass = state.finished.map {
            Pass(
                number: $0.number, startedAt: nil, endedAt: "\($0.at)", outcome: $0.outcome.rawValue, text: $0.text,
                seconds: $0.seconds)
        }
        lists = state.holdings.map {
            List(
                name: $0.list.text, generation: "\($0.generation)", entries: $0.entries, bytes: $0.bytes,
                missing: $0.missingEntries, missingBytes: $0.missingBytes, verifiedAt: "\($0.verifiedAt)",
                depth: $0.depth.rawValue, contentVerifiedAt: $0.contentVerifiedAt.map { "\($0)" })
        }
        let figures = view.transfer
        transfer = Transfer(
            totalBytes: figures.totalBytes, receivedBytes: figures.receivedBytes, fetchedBytes: figures.fetchedBytes,
            sentBytes: figures.sentBytes, resumedBytes: figures.resumedBytes, blobs: figures.totalBlobs,
            deliveredBlobs: figures.deliveredBlobs, manifests: figures.totalManifests,
            deliveredManifests: figures.deliveredManifests, failures: figures.failures, retries: figures.retries,
            active: figures.active.map { Blob(digest: "\($0.digest)", bytes: $0.size, received: $0.received) })
        pause = figures.pause.map {
            Pause(reason: $0.reason.name, until: "\(Timestamp(seconds: $0.until))", text: "\($0)")
        }
        let window = view.windows.standing(at: view.at.seconds)
        windows =
            view.windows.windows.isEmpty
            ? nil
            : Windows(
                open: window.isOpen, until: window.until.map { "\(Timestamp(seconds: $0))" },
                timeZone: view.windows.timeZone.name)
        sources = view.sources.map {
            Source(
                name: $0.name, priority: $0.priority, weight: $0.weight, state: $0.state.rawValue,
                suspect: $0.isSuspect,
                bytes: figures.sources[$0.name] ?? 0, failures: figures.sourceFaults[$0.name]?.failures ?? 0,
                corruptBlobs: figures.sourceFaults[$0.name]?.corruptBlobs ?? 0, lastFailure: $0.lastFailure)
        }
        objectStore = Store(reachedAt: state.storeReachedAt.map { "\($0)" }, fault: state.storeFault?.text)
        hosts = view.hosts.mapValues {
            Host(
                answeredAt: $0.answeredAt.map(Self.time), faults: $0.faults,
                lastFaultAt: $0.fault.map { Self.time($0.at) },
                lastFault: $0.fault?.message, clockLead: $0.clockLead)
        }
        disks = view.disks.map {
            Disk(directory: $0.path, free: $0.available, needed: $0.needed, short: $0.isShort)
        }
    }

    private static func time(_ seconds: Double) -> String {
        "\(Timestamp(seconds: Int64(exactly: seconds.rounded(.down)) ?? 0))"
    }

    /// The document, its keys in alphabetical order.
    var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Numbers and strings always encode.
        return ((try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}") + "\n"
    }
}
