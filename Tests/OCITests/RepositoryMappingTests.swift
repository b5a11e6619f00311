import OCI
import Testing

@Suite struct RepositoryMappingTests {
    @Test(
        arguments: [
            ([], "platform/api", "platform/api"),
            ([("platform", "mirror/platform")], "platform/api", "mirror/platform/api"),
            ([("platform", "mirror")], "platform", "mirror"),
            ([("platform", "mirror")], "platforms/api", "platforms/api"),
            ([("platform", "mirror")], "other/platform", "other/platform"),
            ([("platform", "")], "platform/api", "api"),
            ([("", "mirror")], "platform/api", "mirror/platform/api"),
            ([("", "rest"), ("platform", "short"), ("platform/api", "long")], "platform/api/v1", "long/v1"),
            ([("", "rest"), ("platform", "short"), ("platform/api", "long")], "platform/db", "short/db"),
            ([("", "rest"), ("platform", "short"), ("platform/api", "long")], "tools", "rest/tools"),
            ([("platform", "first"), ("platform", "second")], "platform/db", "first/db"),
        ] as [([(String, String)], String, String)])
    func theLongestPrefixWinsAtComponentBoundaries(rules: [(String, String)], source: String, expected: String) throws {
        let mapping = RepositoryMapping(
            try rules.map { try RepositoryMapping.Rule(source: $0.0, destination: $0.1) })
        #expect(try mapping.destination(of: Repository(source)).name == expected)
    }

    @Test func aMappingThatLeavesNoNameIsRefused() throws {
        let mapping = RepositoryMapping([try .init(source: "platform", destination: "")])
        #expect(throws: OCIError.self) { try mapping.destination(of: Repository("platform")) }
    }

    @Test func aNameThatGrowsBeyondTheGrammarIsRefused() throws {
        let mapping = RepositoryMapping([try .init(source: "", destination: String(repeating: "a", count: 200))])
        #expect(throws: OCIError.self) { try mapping.destination(of: Repository(String(repeating: "b", count: 100))) }
    }

    @Test(arguments: ["/platform", "platform/", "Platform", "a//b", "../a"])
    func aPrefixOutsideTheGrammarIsRefused(prefix: String) {
        #expect(throws: OCIError.self) { try RepositoryMapping.Rule(source: prefix, destination: "a") }
        #expect(throws: OCIError.self) { try RepositoryMapping.Rule(source: "a", destination: prefix) }
    }
}
