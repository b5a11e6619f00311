import ArgumentParser
import ConfigurationFiles
import Console
import FoundationEssentials
import HTTP
import OCI
import ObjectStore
import Readiness
import Registry
import Trust

/// Whether everything that the coordinator rests on is as it should be.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check the fleet file, the object store and what the sites report, and say what to change.",
        discussion: """
            Looks at the fleet file and its keys, the signing key, the object store (reachable, credentials, the right to \
            write, conditional writes that exclude each other), the place for what is kept of it, this machine's clock, the \
            end of the audit chain, and how fresh each site's report is; with --images, also whether the registry that the \
            images file names as its source has the images, for the user who resolves them. Writes and deletes objects below \
            'doctor/' and '~probe/' in the object store, and nothing else. Ends with 0 where nothing must be changed, with 64 \
            where the fleet file, or the images file, is wrong, and with 3 otherwise. It decides about no list: use check \
            for that.
            """)

    @OptionGroup var output: OutputOptions
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var plainHTTP: PlainHTTPOptions

    @Option(
        help: ArgumentHelp("An images file, whose source is looked at, too.", valueName: "images.yaml"),
        completion: .file())
    var images: String?

    @Option(help: ArgumentHelp("The source's credentials file; the usual places otherwise.", valueName: "file"))
    var authFile: String?

    func run() async throws {
        let checkup = try await cancelledBySignals(throwing: OutputError("interrupted")) {
            [fleet, plainHTTP, images, authFile] in
            var checkup = await Self.examine(fleet)
            if let images { await Self.examineSource(of: images, plainHTTP, authFile: authFile, &checkup) }
            return checkup
        }
        switch output.output {
        case .json: Terminal.say(try jsonText(checkup))
        case .table: Terminal.say(checkup.lines.text(colours: output.colour.isOn))
        }
        if let fault = checkup.fileFault { throw fault }
        if !checkup.isWell { throw ExitCode.blocked }
    }

    private static func examine(_ options: FleetOptions) async -> Checkup {
        var checkup = Checkup()
        let now = Timestamp.current
        let fleet: Fleet
        do {
            fleet = try FleetFile.read(option: options.fleet, environment: ProcessInfo.processInfo.environment)
        } catch {
            checkup.add(
                .init("fleet-file", .failed, "\(error)", advice: "correct the file: nothing else can be looked at"))
            checkup.fileFault = error
            return checkup
        }
        checkup.add(FleetChecks.findings(fleet, at: now))
        do {
            checkup.add(FleetChecks.signingKey(try options.key?.publicKey, of: fleet, at: now))
        } catch {
            checkup.add(.init("signing-key", .failed, "\(error)", advice: "name another file with --signing-key"))
        }
        do {
            let store = try fleet.objectStore.open(options.access)
            let (findings, isReadable) = await StoreChecks.findings(
                of: store, at: "\(fleet.objectStore)", clock: ContinuousClock())
            checkup.add(findings)
            checkup.add(CacheChecks.finding(of: fleet.objectStore, options.access))
            guard isReadable else {
                checkup.add(.init("audit-chain", .skipped, "the object store cannot be read"))
                checkup.add(.init("sites", .skipped, "the object store cannot be read"))
                return checkup
            }
            let central = CentralStore(store)
            checkup.add(await AuditChecks.finding(in: central))
            do {
                checkup.add(SiteChecks.findings(try await FleetStanding(of: fleet, in: central, at: now)))
            } catch {
                checkup.add(.init("sites", .failed, "\(error)", advice: "correct or restore the object that it names"))
            }
        } catch {
            checkup.add(
                .init("store-reachable", .failed, "\(error)", advice: "correct 'objectStore' in the fleet file"))
        }
        return checkup
    }

    /// As `list resolve` asks it.
    private static func examineSource(
        of images: String, _ plainHTTP: PlainHTTPOptions, authFile: String?, _ checkup: inout Checkup
    ) async {
        do {
            let file = try ImagesFile(path: images)
            let http = HTTPClient()
            defer { http.shutdown() }
            let client = RegistryClient(
                try RegistryEndpoint(plainHTTP.registryURL(file.source)), http: http,
                credentials: CredentialStore(authFile: authFile))
            checkup.add(await SourceChecks.finding(of: file, client))
        } catch {
            checkup.add(.init("images-file", of: images, .failed, "\(error)", advice: "correct the file"))
            if checkup.fileFault == nil { checkup.fileFault = error }
        }
    }
}
