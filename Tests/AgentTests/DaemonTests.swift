import FoundationEssentials
import Glibc
import HTTP
import Logging
import OCI
import Readiness
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Agent
@testable import Serving

/// The daemon as a process: what it tells, what it takes up while it runs, and how it ends.
@Suite(.timeLimit(.minutes(5))) struct DaemonTests {
    @Test func itTellsHowItIs() async throws {
        try await RealSite.with { site in
            try await Daemon.with(site) { daemon in
                try await daemon.logs("\"pass finished\"")
                #expect(try await daemon.get("/healthz") == (200, "ok\n"))
                #expect(try await daemon.get("/readyz") == (200, "ok\n"))
                #expect(try await daemon.get("/nothing").status == 404)

                let status = try await daemon.get("/status")
                #expect(status.status == 200)
                let document = try JSONDecoder().decode(Told.self, from: Data(status.text.utf8))
                #expect(document.site == "lab-1")
                #expect(document.faults.isEmpty)
                #expect(document.lists.map(\.name) == ["web"])
                #expect(document.lists.map(\.missing) == [0])
                #expect(document.lists.first?.generation == "\(site.list.generation)")
                #expect(document.sources.map(\.state) == ["usable"])
                #expect(document.sources.first.map { $0.bytes > 3_000_000 } == true)
                #expect(document.lastPass?.outcome == "complete")
                #expect(document.hosts.count == 2)

                let metrics = try await daemon.get("/metrics").text
                #expect(metrics.contains("rollcall_agent_missing_entries 0\n"))
                #expect(metrics.contains("rollcall_agent_delivered_blobs_total 3\n"))
                #expect(metrics.contains("rollcall_agent_passes_total{outcome=\"complete\"} "))
                #expect(metrics.contains("rollcall_agent_settings_good 1\n"))
                #expect(metrics.contains("rollcall_metrics_dropped_total 0\n"))
                // Counters do not grow by being read.
                #expect(try await daemon.get("/metrics").text.contains("rollcall_agent_delivered_blobs_total 3\n"))

                // Lines of one pass and of one list are found by what they share.
                #expect(daemon.log.contains("\"generation\":\"\(site.list.generation)\""))
                #expect(daemon.log.contains("\"pass\":1"))
            }
        }
    }

    private struct Told: Decodable {
        struct List: Decodable { let name: String, generation: String, missing: Int }
        struct Source: Decodable { let state: String, bytes: Int64 }
        struct Pass: Decodable { let outcome: String }
        struct Host: Decodable { let faults: Int }
        let site: String
        let faults: [String]
        let lists: [List]
        let sources: [Source]
        let lastPass: Pass?
        let hosts: [String: Host]
    }

    /// `sync` and `verify` need not stop it: they have it make the pass.
    @Test func itMakesPassesForThoseWhoAsk() async throws {
        try await RealSite.with { site in
            // Nor does it find out by itself what is lost, by reading back: it would bring it before anybody asks.
            try await Daemon.with(site, settings: "verifyInterval: 1h\naudit: {period: none}\n") { daemon in
                try await daemon.logs("\"pass finished\"")
                var result = try await site.run("sync")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(result.text == "lab-1: 1 list, 4 entries, 2.9 MiB: complete\n")
                #expect(result.errorText.contains("an agent runs with this state directory (process "))
                #expect(daemon.log.contains("\"reason\":\"somebody asked for it\""))

                let layer = try #require(site.image.blobs.last).descriptor.digest
                try await site.destination.restart { try site.destination.removeContent(layer) }
                // Only a look: it says what is missing, and brings nothing.
                result = try await site.run("verify")
                #expect(result.status == 3, "\(result.errorText)")
                #expect(result.errorText.contains("missing: platform/api@\(layer)"), "\(result.errorText)")
                result = try await site.run("sync", "--progress", "json")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(result.text.contains("\"state\":\"complete\""))
                #expect(try await site.verdict().isReady)

                result = try await site.run("verify", "--content")
                #expect(result.status == 1)
                #expect(result.errorText.contains("within 'audit.period'"))
            }
        }
    }

    /// What is to come is told of the disk that it comes to; when the site was proved outlives the process.
    @Test func whatIsToComeIsMeasured() async throws {
        try await RealSite.with { site in
            let layer = try #require(site.image.blobs.last).descriptor
            // The first pass cannot end, and prove something else, before what was proved is told.
            let told = Gate()
            site.source.intercept(where: { $0.target.contains("/blobs/\(layer.digest)") }) { exchange, _ in
                try exchange.wait(told)
                return .init(404)
            }
            try site.directory.write("state/proved", "1700000000\n")
            try await Daemon.with(site, settings: "verifyInterval: 1h\n") { daemon in
                try await daemon.waits("the proof of before") {
                    try await daemon.get("/metrics").text.contains(
                        "rollcall_agent_proved_timestamp_seconds 1700000000\n")
                }
                told.open()
                try await daemon.logs("\"pass finished\"", times: 2)
                // Between two passes: while one has the blob's file open, its room is taken already.
                try await daemon.waits("the layer is to come") {
                    let metrics = try await daemon.get("/metrics").text
                    let line = metrics.split(separator: "\n").first {
                        $0.hasPrefix("rollcall_agent_disk_needed_bytes{")
                    }
                    return (line?.split(separator: " ").last.flatMap { Int64($0) } ?? 0) >= layer.size
                }
            }
            #expect(try site.directory.read("state/proved") != Array("1700000000\n".utf8))
        }
    }

    /// New settings are taken up at SIGHUP; wrong ones change nothing, and the place of the fault is told.
    @Test func settingsAreReadAgain() async throws {
        try await RealSite.with { site in
            let socket = try NotifySocket(site.directory.file("notify"))
            // Rarely enough: the socket holds ten messages that nobody has read (net.unix.max_dgram_qlen), and the last one
            // must find room.
            try await Daemon.with(
                site, environment: ["NOTIFY_SOCKET": socket.address, "WATCHDOG_USEC": "6000000"]
            ) { daemon in
                try await daemon.logs("\"pass finished\"")
                let good = try daemon.settings

                try daemon.write(good + "limits: {blobz: 3}\n")
                daemon.process.signal(SIGHUP)
                try await daemon.logs("the settings before are still in use")
                let place = "agent.yaml:13:10: unknown key 'blobz' in 'limits': did you mean 'blobs'?"
                #expect(daemon.log.contains(place))
                var ready = try await daemon.get("/readyz")
                #expect(ready.status == 503)
                #expect(ready.text.contains(place))
                #expect(try await daemon.get("/status").text.contains("\"current\" : false"))
                #expect(try await daemon.get("/metrics").text.contains("rollcall_agent_settings_good 0\n"))
                #expect(try await daemon.get("/healthz").status == 200)

                // What cannot change is refused too.
                try daemon.write(good.replacing("state: state", with: "state: elsewhere"))
                daemon.process.signal(SIGHUP)
                try await daemon.logs("'state' cannot change while the agent runs")

                try daemon.write(good + "limits: {blobs: 3}\n")
                daemon.process.signal(SIGHUP)
                try await daemon.logs("new settings are in use")
                ready = try await daemon.get("/readyz")
                #expect(ready.status == 200, "\(ready.text)")
                // It goes on with its work under them.
                try await daemon.logs("\"pass finished\"", times: 2)

                // A level alone disturbs nothing.
                try daemon.write(good + "limits: {blobs: 3}\nlog: {level: debug}\n")
                daemon.process.signal(SIGHUP)
                try await daemon.logs("settings were read again")
                // Nor does a form.
                try daemon.write(good + "limits: {blobs: 3}\nlog: {level: debug, format: text}\n")
                daemon.process.signal(SIGHUP)
                try await daemon.logs("Z info settings were read again ")
                try await daemon.waits("watchdog messages") {
                    socket.told().contains("WATCHDOG=1\n")
                }
                daemon.process.signal(SIGTERM)
                #expect(await daemon.process.ended() == 0)
                #expect(socket.told().contains { $0.hasPrefix("STOPPING=1\n") })
            }
        }
    }

    /// A store that does not answer keeps nobody from asking how the agent is, nor from pulling.
    @Test func itServesBeforeTheStoreAnswers() async throws {
        let held = Gate()
        try await withScriptedServer({ exchange in
            try exchange.wait(held)
            return .init(503)
        }) { store in
            try await RealSite.with { site in
                try site.directory.write("keys", "AWS_ACCESS_KEY_ID=KEY\nAWS_SECRET_ACCESS_KEY=SECRET\n")
                let path = site.directory.file(site.config)
                let settings = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
                try site.directory.write(
                    site.config,
                    settings.replacing(
                        "\(site.site.fleet.objectStore)",
                        with: "s3://bucket?endpoint=\(store.origin)&credentials=\(site.directory.file("keys"))"))
                try await Daemon.with(site) { daemon in
                    #expect(try await daemon.get("/healthz") == (200, "ok\n"))
                    let ready = try await daemon.get("/readyz")
                    #expect(ready == (503, "the object store was not reached yet\n"))
                }
            }
        }
    }

    /// Files are noticed without a signal.
    @Test func aChangedFileIsNoticed() async throws {
        try await RealSite.with { site in
            try await Daemon.with(site) { daemon in
                try await daemon.logs("\"pass finished\"")
                try daemon.write(daemon.settings + "log: {level: debug}\n")
                try await daemon.logs("settings were read again")
                // A key file that is replaced by something else.
                try site.directory.write("site.key", "no key\n")
                try await daemon.logs("the settings before are still in use")
                #expect(daemon.log.contains("site.key"))
                // And with one, after all that, although nothing has changed.
                daemon.process.signal(SIGHUP)
                try await daemon.logs("the settings before are still in use", times: 2)
            }
        }
    }

    /// Whatever goes wrong, and however much is told: no password, no token, and no form of them.
    @Test func noSecretIsTold() async throws {
        try await RealSite.with { site in
            let password = "correct-horse-battery-staple"
            let encoded = Data("agent:\(password)".utf8).base64EncodedString()
            try site.directory.write(
                "auth.json", "{\"auths\": {\"\(site.source.origin.dropFirst(7))\": {\"auth\": \"\(encoded)\"}}}")
            // It demands a password, and refuses the one that it gets, echoing what it got.
            site.source.answer(
                .init(
                    401, ["WWW-Authenticate": "Basic realm=\"x\""],
                    text: "{\"errors\": [{\"code\": \"UNAUTHORIZED\", \"message\": \"no\"}]}"),
                where: { _ in true })
            try await Daemon.with(site, settings: "authFile: auth.json\nlog: {level: trace}\n") { daemon in
                try await daemon.logs("\"pass finished\"", times: 2)
                let told = try await [daemon.get("/status").text, daemon.get("/metrics").text, daemon.log]
                // It was tried, or there would be nothing to hide.
                #expect(told[2].contains("were refused"), "\(told[2])")
                for text in told {
                    #expect(!text.contains(password))
                    #expect(!text.contains(encoded))
                }
            }
        }
    }

    @Test func theManagerIsTold() async throws {
        try await RealSite.with { site in
            let socket = try NotifySocket("@rollcall-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
            try await Daemon.with(site, environment: ["NOTIFY_SOCKET": socket.address]) { daemon in
                let told = Mutex<[String]>([])
                try await daemon.waits("READY=1") {
                    told.withLock { $0 += socket.told() }
                    return told.withLock { $0.contains { $0.hasPrefix("READY=1\nSTATUS=") } }
                }
                daemon.process.signal(SIGHUP)
                try await daemon.waits("RELOADING=1") {
                    told.withLock { $0 += socket.told() }
                    return told.withLock { lines in
                        guard let index = lines.firstIndex(where: { $0.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") })
                        else { return false }
                        return lines[index...].contains("READY=1\n")
                    }
                }
            }
        }
    }
}

@Suite struct ServiceManagerTests {
    @Test func addresses() {
        #expect(ServiceManager.address(of: "/run/x") == Array("/run/x".utf8))
        #expect(ServiceManager.address(of: "@x") == [0, UInt8(ascii: "x")])
        for text in ["", "/", "vsock:2:1234", "x", "/" + String(repeating: "x", count: 107)] {
            #expect(ServiceManager.address(of: text) == nil, "\(text)")
        }
    }

    @Test(arguments: [
        (["NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000"], Duration.seconds(30)),
        (["NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"], .seconds(30)),
        (["NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"], nil),
        (["NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"], nil), (["NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "-1"], nil),
        (["NOTIFY_SOCKET": "/x"], nil), (["WATCHDOG_USEC": "30000000"], nil),
    ])
    func theWatchdogIsRead(environment: [String: String], interval: Duration?) {
        #expect(ServiceManager(environment: environment, processID: 7).watchdogInterval == interval)
    }

    @Test func nobodyIsToldWhereThereIsNobody() {
        #expect(!ServiceManager(environment: [:]).tell(.ready))
        #expect(!ServiceManager(environment: ["NOTIFY_SOCKET": "/nonexistent/socket"]).tell(.ready))
    }

    /// What others write must not become a state of its own.
    @Test func aStatusIsOneLine() {
        #expect(ServiceManager.Message.status("a\nSTOPPING=1\u{0}b").text == "STATUS=a STOPPING=1 b\n")
        #expect(ServiceManager.Message.reloading(microseconds: 12).text == "RELOADING=1\nMONOTONIC_USEC=12\n")
    }
}

@Suite(.timeLimit(.minutes(5))) struct BellTests {
    @Test func itRingsAgainAndAgain() async {
        let bell = Bell()
        bell.ring()
        bell.ring()
        // Once for both.
        #expect(await bell.wait())
        let waiting = Task { await bell.wait() }
        waiting.cancel()
        #expect(await !waiting.value)
        // Who gave up takes nothing from the next.
        bell.ring()
        #expect(await bell.wait())
    }
}

@Suite struct LoopPulseTests {
    private let start = ContinuousClock.now

    @Test func aWaitIsNoSilence() {
        var pulse = LoopPulse(at: start)
        pulse.waits(for: .seconds(3600), at: start)
        #expect(pulse.silence(at: start + .seconds(3600)) == .zero)
        #expect(pulse.isAlive(at: start + .seconds(3600) + LoopPulse.patience))
        #expect(!pulse.isAlive(at: start + .seconds(3601) + LoopPulse.patience))
    }

    /// A pass that takes days lives while anything moves.
    @Test func movingFiguresAreSignsOfLife() {
        var pulse = LoopPulse(at: start)
        pulse.sign(at: start)
        var figures = TransferProgress()
        var now = start
        for _ in 0..<10 {
            now = now + LoopPulse.patience
            figures.answers += 1
            pulse.observe(figures, at: now)
            #expect(pulse.isAlive(at: now))
        }
        pulse.observe(figures, at: now + LoopPulse.patience)
        #expect(pulse.isAlive(at: now + LoopPulse.patience))
        pulse.observe(figures, at: now + LoopPulse.patience + .seconds(1))
        #expect(!pulse.isAlive(at: now + LoopPulse.patience + .seconds(1)))
    }

    /// What moves beside a loop that should have woken up is not its life.
    @Test func figuresDoNotCoverAWaitThatNeverEnds() {
        var pulse = LoopPulse(at: start)
        pulse.waits(for: .seconds(60), at: start)
        var figures = TransferProgress()
        for minute in 0..<60 {
            figures.answers += 1
            pulse.observe(figures, at: start + .seconds(minute * 60))
        }
        #expect(!pulse.isAlive(at: start + .seconds(3600)))
    }
}

@Suite struct SurroundingsTests {
    private static let gibibyte: Int64 = 1 << 30
    private static let mebibyte: Int64 = 1 << 20

    /// Available, total, needed. A large disk keeps 1 GiB, a small one a twentieth.
    private static let disks: [(Int64, Int64, Int64, Bool)] = [
        (10 * gibibyte, 1024 * gibibyte, 0, false), (gibibyte, 1024 * gibibyte, 0, false),
        (gibibyte - 1, 1024 * gibibyte, 0, true), (5 * mebibyte, 100 * mebibyte, 0, false),
        (4 * mebibyte, 100 * mebibyte, 0, true), (10 * gibibyte, 1024 * gibibyte, 9 * gibibyte, false),
        (10 * gibibyte, 1024 * gibibyte, 10 * gibibyte, true),
    ]

    @Test(arguments: disks)
    func aDiskIsShort(available: Int64, total: Int64, needed: Int64, short: Bool) {
        let disk = DiskSpace(path: "/x", available: available, total: total, needed: needed)
        #expect(disk.isShort == short)
    }

    /// What has arrived is on the disk, and needs no room once more: otherwise every long pass would look short at its end.
    @Test func whatHasArrivedIsNeededNoMore() {
        let arrived = Mutex(Surroundings.Arrived(delivered: 500))
        let surroundings = Surroundings(directories: [("/tmp", 100), ("/", .max), ("/tmp", 0)]) {
            arrived.withLock { $0 }
        }
        let (status, logger) = (AgentStatus(), Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        var needed: [Int64] { surroundings.disks.map(\.needed) }
        #expect(needed == [0, 0, 0])
        surroundings.look(status, logger, toCome: 1000)
        #expect(needed == [100, 1000, 0])
        // Two blobs have their files, one of them in full.
        arrived.withLock { $0.allocated = 80 }
        #expect(needed == [20, 920, 0])
        arrived.withLock { $0.allocated = 40 }
        arrived.withLock { $0.delivered = 540 }
        #expect(needed == [60, 920, 0])
        surroundings.lookAgain(status, logger)
        #expect(status.current.disks.map(\.needed) == [60, 920, 0])
        arrived.withLock { $0 = .init(delivered: 1500) }
        #expect(needed == [0, 0, 0])
        // The next pass begins with what it finds missing, whatever was delivered before.
        surroundings.look(status, logger, toCome: 70)
        #expect(needed == [70, 70, 0])
    }

    @Test func theDiskIsRead() throws {
        let disk = try #require(DiskSpace(of: "/tmp", needed: 1))
        #expect(disk.total > 0)
        #expect(disk.available > 0)
        #expect(DiskSpace(of: "/nonexistent/place") == nil)
    }

    /// It is this machine's clock that is wrong where every host that tells the time says so, and gates would notice.
    @Test(
        arguments: [
            ([], nil), ([nil], nil), ([301], "301 s behind"), ([-600, -599], "599 s ahead of"), ([-600, 1], nil),
            ([-600, 600], nil), ([299], nil), ([nil, -400], "400 s ahead of"),
        ] as [([Double?], String?)])
    func theOwnClockIsWrong(leads: [Double?], words: String?) {
        let fault = Surroundings.faultOfOwnClock(leads)
        #expect((fault == nil) == (words == nil))
        if let words { #expect(fault?.contains("this machine's clock is \(words)") == true, "\(fault ?? "")") }
    }

    @Test func aClockIsWrong() {
        #expect(
            Surroundings.advice("s3.example", lead: -75.2).hasPrefix(
                "the clock of s3.example is 75 s behind this machine's: set both by a time server"))
    }
}
