import ArgumentParser
import Glibc

/// What can be measured here.
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the scenarios, and which tools are there.")

    @OptionGroup var link: LinkOptions

    func run() throws {
        print("Scenarios:")
        for scenario in Scenario.all(scale: 1, link) {
            print("  \(scenario.name): \(scenario.summary)")
            if let link = scenario.link { print("      \(link.text); needs root") }
        }
        for load in RegistryLoad.Load.allCases { print("  \(load.rawValue): \(load.summary(scale: 1))") }
        print("  \(GateFleet.name): \(GateFleet.summary)")
        print("Tools:")
        for tool in Tool.all(binaries: Self.ownDirectory) {
            print("  \(tool.name): \(tool.version ?? "not on PATH")")
        }
    }

    /// The directory of this executable, where Rollcall's others are built too.
    static var ownDirectory: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        return String(decoding: path[..<(path.lastIndex(of: UInt8(ascii: "/")) ?? 0)], as: UTF8.self)
    }
}
