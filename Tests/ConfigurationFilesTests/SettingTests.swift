import Readiness
import Testing
import Transfer

@testable import ConfigurationFiles

/// What the definitions say of the keys is what is read.
@Suite(.timeLimit(.minutes(5))) struct SettingTests {
    /// Of keys that exclude each other, the first or the second.
    enum Alternative: CaseIterable { case first, second }

    /// A file in which every key has its example, in flow style.
    static func text(_ form: Setting.Form, _ alternative: Alternative) -> String? {
        switch form {
        case .section(let keys):
            let settings = keys.settings
            let names = Set(settings.map(\.name))
            let entries = settings.compactMap { name, setting -> String? in
                let isLeftOut = Self.alternatives.contains { first, second in
                    names.isSuperset(of: [first, second]) && name == (alternative == .first ? second : first)
                }
                return isLeftOut ? nil : "\(name): \(setting.example ?? text(setting.form, alternative) ?? "")"
            }
            return "{\(entries.joined(separator: ", "))}"
        case .list(let form): return text(form, alternative).map { "[\($0)]" }
        case .pairs(_, let form): return text(form, alternative).map { "{host.example: \($0)}" }
        case .either(let one, let other): return text(one, alternative) ?? text(other, alternative)
        case .orNone(let form): return text(form, alternative)
        case .text, .path, .bool, .integer, .duration, .byteSize, .byteRate, .timeOfDay, .choice: return nil
        }
    }

    private static let alternatives = [("url", "embedded"), ("publicKey", "publicKeys")]

    @Test(arguments: Alternative.allCases) func theAgentsExamplesAreRead(alternative: Alternative) throws {
        let file = try AgentFile(
            text: #require(Self.text(.section(AgentFile.Key.self), alternative)), path: "agent.yaml")
        #expect(file.site.text == "lab-1")
        #expect(file.limits.rate == 25_000_000)
        #expect(file.windows.windows.count == 1)
        #expect(file.hosts.count == 1)
        #expect(file.shard?.of == 2)
        switch (file.registry, alternative) {
        case (.url, .first), (.embedded, .second): break
        default: Issue.record("\(file.registry)")
        }
    }

    @Test(arguments: Alternative.allCases) func theFleetsExamplesAreRead(alternative: Alternative) throws {
        // Nobody has another's key.
        var keys = ["BCKG2gKGHl8knW4sN+UeOXGN2+HJca6RtubwF/k2nzw=", "A2oKrDbC9yLeNU1fG43qHRatQwEy3qr4raCzvAL5O50="]
        var text = try #require(Self.text(.section(FleetFile.Key.self), alternative))
        for section in ["coordinators:", "approvers:"] {
            let start = try #require(text.firstRange(of: section)).lowerBound
            text.replaceSubrange(
                start...,
                with: text[start...].replacing("OCBzQoSq/yKSbcQATn1E4MiiYabqHNC8qGaAH+cPPFc=", with: keys.removeLast()))
        }
        let fleet = try FleetFile.parse(text, path: "fleet.yaml")
        #expect(fleet.environments.map(\.contentWithin) == [.seconds(30 * 86_400)])
        #expect(fleet.environments.flatMap { $0.sites.map(\.keys.count) } == [1])
        #expect(fleet.approvers.map(\.keys.count) == [1])
        #expect(fleet.coordinators.map(\.keys.count) == [1])
    }

    @Test func theImagesExamplesAreRead() throws {
        let file = try ImagesFile(
            text: #require(Self.text(.section(ImagesFile.Key.self), .first)), path: "images.yaml")
        #expect(file.images.map(\.platforms?.count) == [2])
    }

    /// What is documented is a sentence, and every value has an example.
    @Test(arguments: Reference.files.map(\.name)) func everyKeyIsDocumented(name: String) throws {
        let file = try #require(Reference.files.first { $0.name == name })
        var pending = [(name: name, keys: file.keys)]
        while let (path, keys) = pending.popLast() {
            for (key, setting) in keys.settings {
                #expect(setting.text.hasSuffix("."), "\(path): \(key)")
                #expect(!setting.text.contains("\n"), "\(path): \(key)")
                let below = setting.form.below.section
                #expect((setting.example == nil) == (below != nil), "\(path): \(key)")
                if let below { pending.append(("\(path): \(key)", below)) }
            }
        }
    }

    /// What is a fault of ours is said to be one.
    @Test func aKeyThatIsDeclaredAsSomethingElse() throws {
        let value = try Document(text: "a: 1\n", path: "f.yaml", title: "file").root.pairs()[0].value
        let error = #expect(throws: ConfigurationError.self) { try value.read(as: .bool).integer() }
        #expect(
            error?.description
                == "f.yaml:1:4: 'a' is not declared as a whole number: that is a fault of Rollcall's, please report it")
    }
}
