import ArgumentParser
import ConfigurationFiles
import Console
import FoundationEssentials
import Glibc
import ObjectStore
import Readiness

/// Where the fleet file is.
struct FleetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The fleet file; otherwise \(FleetFile.variable) names it, or it is ./\(FleetFile.defaultPath).",
            valueName: "file"))
    var fleet: String?

    @OptionGroup var store: StoreOptions

    func open() throws -> (fleet: Fleet, central: CentralStore) {
        let fleet = try FleetFile.read(option: self.fleet, environment: ProcessInfo.processInfo.environment)
        return (fleet, CentralStore(try fleet.objectStore.open(access)))
    }

    /// The fleet for a process that outlives changes of its file.
    func watch() -> LiveFleet {
        LiveFleet(
            path: FleetFile.path(option: fleet, environment: ProcessInfo.processInfo.environment), access: access)
    }

    private var access: ObjectStoreAccess {
        ObjectStoreAccess(environment: ProcessInfo.processInfo.environment, singleWriter: store.singleWriter)
    }
}

/// Which environment.
struct EnvironmentOptions: ParsableArguments {
    @Option(
        name: [.short, .long], help: "The environment, by its name in the fleet file.",
        transform: EnvironmentName.init(_:))
    var environment: EnvironmentName
}

/// How results are written.
struct OutputOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "table for people, json for programs.")
    var output = OutputForm.table
}

extension OutputForm: ExpressibleByArgument {}

extension Timestamp {
    /// The system's time.
    static var current: Timestamp { Timestamp(seconds: Int64(time(nil))) }
}

extension Act {
    /// The process's user and host, now.
    static var current: Act {
        var name = [CChar](repeating: 0, count: 256)
        // What is filled in is cut off, never unterminated: the last byte is not given away.
        let host = gethostname(&name, name.count - 1) == 0 ? String(utf8: name) : "unknown"
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        // A container's arbitrary user has no entry.
        let user: String =
            buffer.withUnsafeMutableBufferPointer { buffer in
                guard let base = buffer.baseAddress,
                    getpwuid_r(getuid(), &entry, base, buffer.count, &found) == 0, found != nil,
                    let name = entry.pw_name
                else { return nil }
                return String(cString: name)
            } ?? "uid-\(getuid())"
        return Act(by: "\(user)@\(host)", at: .current)
    }
}

extension String {
    /// The bytes before the first zero.
    fileprivate init(utf8 bytes: [CChar]) {
        self.init(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
