import AgentServer
import ConfigurationFiles
import Console
import HTTP
import Logging
import Readiness
import ServiceLifecycle
import Serving
import Synchronization

/// What `rollcall-agent run` does, with other settings whenever the files on the disk change.
///
/// A pass that is under way when new settings come is stopped, and the next one goes on from where it was. New settings
/// that cannot be used change nothing: those before stay in use, and the log and `/status` say why.
final class ContinuousAgent: Service {
    let options: SiteOptions
    let status: AgentStatus
    let heartbeat: Heartbeat
    let ledger: HostLedger
    let teller: AgentTeller
    let manager: ServiceManager
    let volume: LogVolume
    let timing: Timing
    let logger: Logger
    /// The agent to begin with; let go of once others may follow it.
    private let first: Mutex<SiteAgent?>
    private let watch: SettingsWatch

    /// - Parameters:
    ///   - first: the agent to begin with
    ///   - options: what the command line says
    ///   - settings: what the agent to begin with was made of
    ///   - parts: what the rest of the process shares with it
    ///   - hangups: rings where somebody asks to read the settings again (SIGHUP)
    init(
        _ first: SiteAgent, options: SiteOptions, settings: ReadSettings, parts: Parts, hangups: Bell, timing: Timing,
        logger: Logger
    ) {
        self.first = Mutex(first)
        self.options = options
        status = parts.status
        heartbeat = parts.heartbeat
        ledger = parts.ledger
        teller = parts.teller
        manager = parts.manager
        volume = parts.volume
        self.timing = timing
        self.logger = logger
        watch = SettingsWatch(config: options.config, settings, hangups: hangups, timing: timing)
    }

    /// What the parts of the process share.
    struct Parts: Sendable {
        let status: AgentStatus
        let heartbeat: Heartbeat
        let ledger: HostLedger
        let teller: AgentTeller
        let manager: ServiceManager
        let volume: LogVolume
    }

    func run() async throws {
        guard var site = first.withLock({ $0.take() }) else { return }
        site.pass.state.takeRequests()
        let provedAt = site.pass.state.provedAt
        status.update { $0.provedAt = provedAt }
        var surroundings = take(site)
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            guard let settings = await serve(site, surroundings) else { break }
            do {
                let next = try SiteAgent(settings.file, options, ledger: ledger, replacing: site)
                do {
                    try await next.requireStore()
                    try next.takeJournal()
                } catch {
                    next.shutdown()
                    throw error
                }
                site.shutdown()
                site = next
                surroundings = take(site)
                await watch.accept(settings)
                logger.info("new settings are in use", metadata: ["file": "\(options.config)"])
            } catch {
                refuse(error)
            }
            manager.tell(.ready)
        }
        site.shutdown()
        logger.info("stopped")
    }

    /// - Returns: what is looked at from now on, by the passes and by who tells of it
    private func take(_ site: SiteAgent) -> Surroundings {
        let surroundings = site.surroundings(ledger)
        volume.follow(site.file.log)
        teller.follow(site.engine, surroundings, site.file.windows)
        status.settingsLoaded(
            site.file.site, site.file.environment, file: options.config, interval: site.file.interval)
        return surroundings
    }

    private func refuse(_ error: any Error) {
        status.settingsRefused(error)
        logger.error("the settings before are still in use", metadata: ["reason": "\(error)"])
    }

    /// Makes passes, and reads content back, until there are new settings that can be used, or the end.
    ///
    /// - Returns: the new settings; `nil` at the end
    private func serve(_ site: SiteAgent, _ surroundings: Surroundings) async -> ReadSettings? {
        let audit = site.audit(logger: logger)
        let service = AgentService(
            pass: site.pass, audit: audit, interval: site.file.interval, verifyInterval: site.file.verifyInterval,
            timing: timing, logger: logger, status: status, heartbeat: heartbeat, surroundings: surroundings,
            requests: PassRequests(in: site.file.state))
        enum End: Sendable { case passes, audit, settings(ReadSettings?) }
        return await withTaskGroup(of: End.self) { group in
            group.addTask {
                try? await service.run()
                return .passes
            }
            group.addTask {
                try? await audit.run()
                return .audit
            }
            group.addTask { .settings(await self.nextSettings(after: site.file)) }
            var next: ReadSettings?
            ends: for await end in group {
                switch end {
                // At a shutdown these end by themselves, and a pass that is under way has its time.
                case .audit, .settings(nil): continue
                case .settings(let settings?):
                    next = settings
                    break ends
                case .passes: break ends
                }
            }
            group.cancelAll()
            return next
        }
    }

    /// Waits until the files on the disk are settings that can be used, and others than those in use.
    ///
    /// - Returns: `nil` at the end
    private func nextSettings(after file: AgentFile) async -> ReadSettings? {
        var current = file
        while await watch.change() {
            manager.tell(.reloading(microseconds: ServiceManager.monotonicMicroseconds))
            do {
                let new = try await watch.settings()
                try new.file.requireSameProcess(as: current, path: options.config)
                guard await !watch.isOther(new), new.file == current || new.file.differsInLogOnly(from: current) else {
                    return new
                }
                current.log = new.file.log
                volume.follow(current.log)
                status.settingsAsBefore()
                logger.info("settings were read again", metadata: ["level": "\(current.log.level.rawValue)"])
            } catch {
                refuse(error)
            }
            manager.tell(.ready)
        }
        return nil
    }
}

/// Notices when the files of the settings change: the driver around `SettingsFiles`.
actor SettingsWatch {
    /// How often the files are looked at.
    static let interval = Duration.seconds(5)

    private let config: String
    private let hangups: Bell
    private let timing: Timing
    /// The settings that were read last, in use or not: what they name is looked at.
    private var file: AgentFile
    /// The files as they were before they were read last.
    private var read: SettingsFiles
    /// The keys and certificates of the settings in use.
    private var accepted: [String: FileIdentity?]

    /// - Parameter settings: those in use
    init(config: String, _ settings: ReadSettings, hangups: Bell, timing: Timing) {
        self.config = config
        self.hangups = hangups
        self.timing = timing
        file = settings.file
        read = settings.files
        accepted = settings.files.material
    }

    /// Reads the settings, and everything that they name.
    ///
    /// - Throws: as `SettingsFiles.read`. What the file names is looked at from now on all the same: where that is what is
    ///   wrong, it is what somebody will mend.
    func settings() throws -> ReadSettings {
        let settings = try ReadSettings(config)
        file = settings.file
        read = settings.files
        try SettingsFiles.check(settings.file)
        return settings
    }

    /// Whether keys or certificates of settings are others than those in use.
    func isOther(_ settings: ReadSettings) -> Bool { settings.files.material != accepted }

    /// Settings are in use from now on.
    func accept(_ settings: ReadSettings) { accepted = settings.files.material }

    /// Waits until somebody asks, or until files have changed and are the same at two looks: while a file is being
    /// written, what is there may look right and lack its end.
    ///
    /// - Returns: `false` at the end
    func change() async -> Bool {
        let hangups = hangups
        let isAsked = await withTaskGroup(of: Bool?.self) { group in
            group.addTask {
                await hangups.wait() ? true : nil
            }
            group.addTask { await self.changed() ? false : nil }
            defer { group.cancelAll() }
            for await end in group where end != nil { return end }
            return Bool?.none
        }
        guard isAsked != nil, !Task.isCancelled else { return false }
        read = SettingsFiles(config: config, file)
        return true
    }

    private func changed() async -> Bool {
        var before = read
        while true {
            let sleep = timing.sleep
            guard (try? await cancelWhenGracefulShutdown({ try await sleep(Self.interval) })) != nil, !Task.isCancelled
            else { return false }
            let now = SettingsFiles(config: config, file)
            if now != read, now == before { return true }
            before = now
        }
    }
}

extension LogVolume {
    /// As the agent's file says it.
    func follow(_ log: AgentFile.Log) {
        level = Logger.Level(log.level)
        form = log.form
    }
}

extension Logger.Level {
    /// As the agent's file says it.
    init(_ level: AgentFile.Log.Level) {
        self =
            switch level {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            case .critical: .critical
            }
    }
}
