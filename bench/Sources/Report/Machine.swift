import FoundationEssentials
import Glibc

/// What the figures were measured on.
struct Machine: Codable {
    let processor: String
    let processors: Int
    /// Bytes.
    let memory: Int
    let kernel: String
    let work: String
    let registry: String
    /// SHA-256 of one processor through libcrypto, in bytes a second, measured in this run.
    let hashRate: Double
    /// The load average of the minute before: other work on the machine makes figures worse.
    let load: String

    /// - Parameters:
    ///   - work: the directory of the registries and scratch files
    ///   - hashRate: bytes a second
    init(work: String, hashRate: Double) {
        let cpu = Self.read("/proc/cpuinfo")
        processor =
            cpu.split(whereSeparator: \.isNewline).first { $0.hasPrefix("model name") }?.split(separator: ":").last
            .map { String($0).trimmingCharacters(of: " ") } ?? "unknown"
        processors = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        memory = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
        kernel = Self.read("/proc/sys/kernel/osrelease").filter { !$0.isNewline }
        self.work = work
        registry =
            (try? Command(["docker-registry", "--version"]).run()).map {
                String(decoding: $0, as: UTF8.self).filter { !$0.isNewline }
            } ?? "unknown"
        self.hashRate = hashRate
        load = Self.read("/proc/loadavg").split(separator: " ").first.map(String.init) ?? "unknown"
    }

    /// The load average of the last minute; `nil` where the kernel does not say.
    static func load() -> Double? { read("/proc/loadavg").split(separator: " ").first.flatMap { Double($0) } }

    var text: String {
        "\(processor), \(processors) processors, \(bytesText(memory)), Linux \(kernel); registries: \(registry), files in "
            + "\(work); SHA-256 of one processor \(fixed(hashRate / 1e6, 0)) MB/s; load before the run \(load)"
    }

    private static func read(_ path: String) -> String {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

extension String {
    /// The text without these characters at its ends.
    fileprivate func trimmingCharacters(of set: String) -> String {
        var text = Substring(self)
        while let first = text.first, set.contains(first) { text.removeFirst() }
        while let last = text.last, set.contains(last) { text.removeLast() }
        return String(text)
    }
}
