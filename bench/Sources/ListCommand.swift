import ArgumentParser
import Glibc

/// What can be measured here.
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the scenarios, and which tools are there.")

    @OptionGroup var work: WorkOptions
    @OptionGroup var link: LinkOptions

    func run() throws {
        try WorkPlace.open(nil)
        print("Scenarios:")
        for benchmark in allBenchmarks(work, link) {
            print("  \(benchmark.name): \(benchmark.summary)")
            if let link = benchmark.link { print("      \(link.text); needs root") }
        }
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
