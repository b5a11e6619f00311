import FoundationEssentials
import TestSupport
import Testing

@testable import ObjectStore

@Suite struct S3CredentialsTests {
    private static let shared = """
        # comment
        ; comment
        [default]
        aws_access_key_id = DEFAULT
        aws_secret_access_key=default=secret
        region = not-here

        [ fleet ]
        AWS_ACCESS_KEY_ID = FLEET
        aws_secret_access_key = fleet secret
        aws_session_token = token
        s3 =
          addressing_style = path
        [half]
        aws_access_key_id = HALF
        """
    private static let configuration = """
        [default]
        region = eu-1
        [profile fleet]
        region = eu-2
        [profile config]
        aws_access_key_id = CONFIG
        aws_secret_access_key = config
        """

    private func withFiles(_ body: (TemporaryDirectory, [String: String]) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            try directory.write(".aws/credentials", Self.shared)
            try directory.write(".aws/config", Self.configuration)
            try await body(directory, ["HOME": directory.path])
        }
    }

    @Test(
        arguments: [
            ([:], "DEFAULT", "default=secret", nil, "eu-1"),
            (["AWS_PROFILE": "fleet"], "FLEET", "fleet secret", "token", "eu-2"),
            (["AWS_PROFILE": "config"], "CONFIG", "config", nil, nil),
            (["AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e"], "E", "e", nil, "eu-1"),
            (
                ["AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e", "AWS_SESSION_TOKEN": "t", "AWS_REGION": "x"],
                "E",
                "e", "t", "x"
            ),
            (
                ["AWS_ACCESS_KEY_ID": "E", "AWS_DEFAULT_REGION": "y", "AWS_REGION": ""], "DEFAULT", "default=secret",
                nil, "y"
            ),
        ] as [([String: String], String, String, String?, String?)])
    func looksInAWSOrder(
        _ variables: [String: String], _ key: String, _ secret: String, _ token: String?, _ region: String?
    ) async throws {
        try await withFiles { _, environment async throws in
            let environment = environment.merging(variables) { $1 }
            let found = try S3CredentialSource(path: nil, environment: environment).credentials()
            #expect(found.accessKeyID == key && found.secretAccessKey == secret && found.sessionToken == token)
            #expect(S3CredentialSource.region(environment: environment) == region)
        }
    }

    @Test func theVariablesNameOtherFiles() async throws {
        try await withTemporaryDirectory { directory async throws in
            let environment = [
                "AWS_SHARED_CREDENTIALS_FILE": try directory.write("c", Self.shared),
                "AWS_CONFIG_FILE": try directory.write("d", Self.configuration), "HOME": "/nonexistent",
            ]
            #expect(try S3CredentialSource(path: nil, environment: environment).credentials().accessKeyID == "DEFAULT")
            #expect(S3CredentialSource.region(environment: environment) == "eu-1")
        }
    }

    @Test func aNamedFileIsTheOnlySource() async throws {
        try await withFiles { directory, environment async throws in
            let all = environment.merging(["AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e"]) { $1 }
            let path = try directory.write("keys", "AWS_ACCESS_KEY_ID=K\nAWS_SECRET_ACCESS_KEY=k\n")
            let found = try S3CredentialSource(path: path, environment: all).credentials()
            #expect(found.accessKeyID == "K" && found.secretAccessKey == "k" && found.sessionToken == nil)
            for (path, words) in [
                (directory.file("none"), "does not exist"), (try directory.write("empty", ""), "profile 'default'"),
            ] {
                #expect {
                    try S3CredentialSource(path: path, environment: all).credentials()
                } throws: { error in
                    (error as? ObjectStoreError)?.code == .noCredentials && "\(error)".contains(path)
                        && "\(error)".contains(words)
                }
            }
        }
    }

    /// What a Kubernetes Secret looks like where it is mounted: a link to a directory that is exchanged as a whole.
    @Test func aMountedSecretIsReadAgainWhenItChanges() async throws {
        try await withTemporaryDirectory { directory async throws in
            for version in ["1", "2"] {
                try directory.write("\(version)/AWS_ACCESS_KEY_ID", "KEY\(version)\n")
                try directory.write("\(version)/AWS_SECRET_ACCESS_KEY", "secret\(version)")
            }
            let files = FileManager.default
            try files.createSymbolicLink(atPath: directory.file("now"), withDestinationPath: "1")
            let source = S3CredentialSource(path: directory.file("now"), environment: [:])
            #expect(try source.credentials().accessKeyID == "KEY1")
            try files.removeItem(atPath: directory.file("now"))
            try files.createSymbolicLink(atPath: directory.file("now"), withDestinationPath: "2")
            #expect(try source.credentials().accessKeyID == "KEY2")
            #expect(try source.credentials().secretAccessKey == "secret2")
        }
    }

    @Test func aChangedFileIsReadAgain() async throws {
        try await withTemporaryDirectory { directory async throws in
            let path = try directory.write("keys", "aws_access_key_id=A\naws_secret_access_key=a\n")
            let source = S3CredentialSource(path: path, environment: [:])
            #expect(try source.credentials().accessKeyID == "A")
            try directory.write("keys", "aws_access_key_id=BB\naws_secret_access_key=b\n")
            #expect(try source.credentials().accessKeyID == "BB")
        }
    }

    @Test func credentialsAreNotShown() throws {
        let credentials = try #require(
            S3Credentials(
                accessKeyID: "KEYNAME", secretAccessKey: "SECRETTEXT", sessionToken: "TOKENTEXT", origin: "here"))
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in [
            "\(credentials)", String(reflecting: credentials), dumped, String(describing: Optional(credentials)),
        ] {
            #expect(text.contains("here"))
            for secret in ["KEYNAME", "SECRETTEXT", "TOKENTEXT"] { #expect(!text.contains(secret)) }
        }
    }
}
