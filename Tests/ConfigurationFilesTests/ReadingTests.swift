import OCI
import ObjectStore
import Readiness
import TestSupport
import Testing

@testable import ConfigurationFiles

@Suite struct ReadingTests {
    @Test(
        arguments: [
            ("90s", 90), ("30m", 1800), ("24h", 86_400), ("1h30m", 5400), ("2d", 172_800), ("0s", 0),
            ("", nil), ("90", nil), ("m", nil), ("30m1h", nil), ("1h1h", nil), ("-1s", nil), ("1.5h", nil),
            (" 1h", nil),
            ("99999999999s", nil), ("9999999999d", nil), ("٣s", nil),
        ] as [(String, Int64?)])
    func durations(text: String, seconds: Int64?) {
        #expect(Duration(written: text) == seconds.map { .seconds($0) })
    }

    @Test(arguments: [(0, "0s"), (59, "59s"), (90, "1m30s"), (86_400, "1d"), (5400, "1h30m")] as [(Int64, String)])
    func durationsAreWrittenAsTheyAreRead(seconds: Int64, text: String) {
        #expect(Duration.seconds(seconds).written == text)
        #expect(Duration(written: text) == .seconds(seconds))
    }

    @Test(
        arguments: [
            ("512B", 512), ("64MiB", 64 << 20), ("64 MiB", 64 << 20), ("2GB", 2_000_000_000), ("1TiB", 1 << 40),
            ("2PiB", 2 << 50), ("7EiB", 7 << 60), ("8EiB", nil), ("1PB", 1_000_000_000_000_000),
            ("8G", nil), ("64", nil), ("MiB", nil), ("-1B", nil), ("1.5GiB", nil), ("9999999999TiB", nil),
            ("99999999999999999999B", nil),
        ] as [(String, Int64?)])
    func byteSizes(text: String, bytes: Int64?) {
        #expect(ByteSize(written: text)?.bytes == bytes)
    }

    @Test(
        arguments: [
            ("200Mbit/s", 25_000_000), ("1Gbit/s", 125_000_000), ("64kbit/s", 8000), ("7bit/s", 0),
            ("25MiB/s", 25 << 20), ("2 MB/s", 2_000_000), ("512B/s", 512),
            ("200Mbps", nil), ("200Mbit", nil), ("25MiB", nil), ("200mbit/s", nil), ("-1Mbit/s", nil), ("Mbit/s", nil),
            ("1.5Mbit/s", nil), ("/s", nil), ("", nil), ("9999999999999Gbit/s", nil), ("9999999999TiB/s", nil),
        ] as [(String, Int64?)])
    func byteRates(text: String, bytesPerSecond: Int64?) {
        #expect(ByteRate(written: text)?.bytesPerSecond == bytesPerSecond)
    }

    @Test(arguments: [(0, "0B"), (1000, "1000B"), (1024, "1KiB"), (64 << 20, "64MiB"), (3 << 29, "1536MiB")])
    func byteSizesAreWritten(bytes: Int64, text: String) {
        #expect(ByteSize(bytes: bytes).description == text)
    }

    @Test(
        arguments: [
            (0, "0B/s"), (8000, "64kbit/s"), (25_000_000, "200Mbit/s"), (125_000_000, "1Gbit/s"), (16 << 20, "16MiB/s"),
            (1 << 40, "1TiB/s"), (Int64.max, "9223372036854775807B/s"),
        ] as [(Int64, String)])
    func byteRatesAreWritten(bytesPerSecond: Int64, text: String) {
        #expect(ByteRate(bytesPerSecond: bytesPerSecond).description == text)
        #expect(ByteRate(written: text)?.bytesPerSecond == bytesPerSecond)
    }

    @Test(arguments: [
        ("registry", "registry", 0), ("registy", "registry", 1), ("regsitry", "registry", 1), ("Sources", "sources", 0),
        ("", "site", 4), ("site", "", 4), ("state", "site", 2),
    ])
    func distances(left: String, right: String, distance: Int) {
        #expect(editDistance(left, right) == distance)
    }

    /// Text that YAML 1.1 would read as something else stays what the user wrote.
    @Test(arguments: ["1.10", "4.17.3", "0x10", "1e3", "no", "2024-01-01", "0777"])
    func tagsStayText(tag: String) throws {
        let file = try ImagesFile(
            text: "name: a\nsource: https://c\nimages:\n  - repository: x\n    tag: \(tag)\n", path: "i.yaml")
        #expect(file.images.first?.tag?.name == tag)
    }

    @Test func carriageReturnsAndByteOrderMarksAreRead() throws {
        let file = try ImagesFile(
            text: "\u{FEFF}name: a\r\nsource: https://c\r\nimages:\r\n  - repository: x\r\n    tag: t\r\n",
            path: "i.yaml")
        #expect(file.name.text == "a")
        #expect(file.images.first?.tag?.name == "t")
    }

    private static let fleet = "objectStore: {url: file:///NAME}\nenvironments: [{name: lab, sites: []}]\n"

    @Test func theFleetFileIsTheOptionsElseTheVariables() throws {
        let directory = try TemporaryDirectory("configuration")
        defer { directory.remove() }
        let option = try directory.write("option.yaml", Array(Self.fleet.replacing("NAME", with: "o").utf8))
        let variable = try directory.write("variable.yaml", Array(Self.fleet.replacing("NAME", with: "v").utf8))
        let environment = ["ROLLCALL_FLEET": variable]
        #expect(try FleetFile.read(option: option, environment: environment).objectStore == .directory("/o"))
        #expect(try FleetFile.read(option: nil, environment: environment).objectStore == .directory("/v"))
        let error = #expect(throws: ConfigurationError.self) {
            try FleetFile.read(option: nil, environment: ["ROLLCALL_FLEET": ""])
        }
        #expect(
            error?.description
                == "fleet.yaml: cannot read the fleet file: No such file or directory: name the file with"
                + " --fleet or ROLLCALL_FLEET")
    }
}

@Suite struct ShardSettingsTests {
    @Test(arguments: [
        ("rollcall-0", 0), ("rollcall-2", 2), ("rollcall-agent-1.rollcall.svc.cluster.local", 1), ("rollcall-3", nil),
        ("rollcall", nil), ("rollcall-", nil), ("rollcall-x1", nil), ("", nil), ("2", 2),
        ("rollcall-99999999999999999999", nil),
    ])
    func theHostsNameHasTheNumber(hostname: String, index: Int?) throws {
        let file = try AgentFile(
            text: """
                {site: a, environment: b, sources: [url: 'http://c'], registry: {url: 'http://d'},
                 objectStore: {url: 'file:///e'}, state: f, shard: {index: hostname, of: 3}}
                """, path: "agent.yaml")
        #expect(file.shard?.shard(hostname: hostname)?.index == index)
    }

    @Test(arguments: [
        "{index: 0, of: 1}", "{index: 0, of: 65}", "{index: 3, of: 3}", "{index: -1, of: 3}", "{of: 3}",
        "{index: host, of: 3}",
    ])
    func others(shard: String) {
        #expect(throws: ConfigurationError.self) {
            try AgentFile(
                text: """
                    {site: a, environment: b, sources: [url: 'http://c'], registry: {url: 'http://d'},
                     objectStore: {url: 'file:///e'}, state: f, shard: \(shard)}
                    """, path: "agent.yaml")
        }
    }
}
