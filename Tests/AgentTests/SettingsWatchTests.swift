import ConfigurationFiles
import Glibc
import HTTP
import TestSupport
import Testing
import Trust

@testable import Agent

/// When the files of the settings count as others than those in use.
@Suite(.timeLimit(.minutes(5))) struct SettingsWatchTests {
    /// Looks at once, and again.
    private let timing = Timing(
        now: { .now }, unixTime: { 0 },
        sleep: { _ in
            try Task.checkCancellation()
            await pauseALittle()
        }, chance: { 0 })

    private func write(key: String, in directory: TemporaryDirectory) throws -> String {
        try directory.write(
            "agent.yaml",
            """
            site: lab-1
            environment: lab
            sources: [{url: https://central.example}]
            registry: {url: https://lab-1.example}
            objectStore: {url: file:///srv/rollcall}
            state: state
            signingKey: \(key)

            """)
    }

    /// In one step, and as another file than the one before.
    private func makeKey(_ name: String, in directory: TemporaryDirectory) throws {
        try PrivateKey.generate().write(to: directory.file("new.key"))
        #expect(rename(directory.file("new.key"), directory.file(name)) == 0)
    }

    /// What is written after the settings were read, and before anybody looks, is noticed.
    @Test func aChangeDuringTheStartIsNoticed() async throws {
        try await withTemporaryDirectory { directory in
            let config = try write(key: "site.key", in: directory)
            try makeKey("site.key", in: directory)
            let settings = try ReadSettings.all(config)
            try makeKey("site.key", in: directory)
            let watch = SettingsWatch(config: config, settings, hangups: Bell(), timing: timing)
            #expect(await watch.change())
            let new = try await watch.settings()
            #expect(new.file == settings.file)
            #expect(await watch.isOther(new))
        }
    }

    /// Keys that nobody works with are not taken for those in use: what was refused is tried again when somebody asks.
    @Test func onlyWhatIsInUseIsAsBefore() async throws {
        try await withTemporaryDirectory { directory in
            let config = try write(key: "site.key", in: directory)
            try makeKey("site.key", in: directory)
            let hangups = Bell()
            let watch = SettingsWatch(
                config: config, try ReadSettings.all(config), hangups: hangups, timing: timing)
            #expect(try await !watch.isOther(watch.settings()))
            try makeKey("site.key", in: directory)
            for _ in 0..<2 {
                hangups.ring()
                #expect(await watch.change())
                #expect(try await watch.isOther(watch.settings()))
            }
            let new = try await watch.settings()
            await watch.accept(new)
            #expect(try await !watch.isOther(watch.settings()))
        }
    }

    /// Where a file that new settings name is what is wrong, mending it is a change.
    @Test func whatRefusedSettingsNameIsLookedAt() async throws {
        try await withTemporaryDirectory { directory in
            let config = try write(key: "site.key", in: directory)
            try makeKey("site.key", in: directory)
            let watch = SettingsWatch(config: config, try ReadSettings.all(config), hangups: Bell(), timing: timing)
            _ = try write(key: "other.key", in: directory)
            #expect(await watch.change())
            await #expect(throws: AgentError.self) { try await watch.settings() }
            try makeKey("other.key", in: directory)
            #expect(await watch.change())
            #expect(try await watch.settings().file.signingKey == directory.file("other.key"))
        }
    }
}
