import HTTP
import Testing

@testable import ObjectStore

@Suite struct S3LocationTests {
    @Test(arguments: [
        (
            "s3://bucket/prefix?endpoint=http://127.0.0.1:8333&region=us-east-1", "http://127.0.0.1:8333/bucket/",
            "prefix/", "us-east-1"
        ),
        ("s3://bucket", "https://bucket.s3.env-1.amazonaws.com/", "", "env-1"),
        ("s3://bucket/?region=eu-1", "https://bucket.s3.eu-1.amazonaws.com/", "", "eu-1"),
        ("S3://bucket.a/a/b/?style=path", "https://s3.env-1.amazonaws.com/bucket.a/", "a/b/", "env-1"),
        ("s3://bucket.a", "https://s3.env-1.amazonaws.com/bucket.a/", "", "env-1"),
        ("s3://bucket?endpoint=https://s3.example&style=virtual", "https://bucket.s3.example/", "", "env-1"),
        ("s3://bucket?endpoint=https%3A%2F%2Fs3.example%2F", "https://s3.example/bucket/", "", "env-1"),
        ("s3://bucket?endpoint=http://[::1]:80", "http://[::1]/bucket/", "", "env-1"),
    ])
    func namesTheBucket(_ text: String, _ url: String, _ prefix: String, _ region: String) throws {
        guard case .s3(let location) = try ObjectStoreLocation(text) else {
            Issue.record("not an S3 location")
            return
        }
        let bucket = try S3Bucket(location, environmentRegion: "env-1")
        #expect(bucket.url.description == url)
        #expect(bucket.prefix == prefix)
        #expect(bucket.region == region)
        #expect(bucket.url(of: "a/b=~c").description == "\(url)a/b%3D~c")
        #expect(try ObjectStoreLocation(location.description) == .s3(location))
    }

    @Test func readsTheFiles() throws {
        let location = try ObjectStoreLocation("s3://bucket?credentials=/run/secrets/s%203&ca=/etc/ca.pem")
        guard case .s3(let s3) = location else { return }
        #expect(s3.credentialsFile == "/run/secrets/s 3")
        #expect(s3.caFile == "/etc/ca.pem")
        #expect(location.description == "s3://bucket?credentials=/run/secrets/s%203&ca=/etc/ca.pem")
    }

    @Test func withoutAnyRegionItIsTheFirst() throws {
        guard case .s3(let location) = try ObjectStoreLocation("s3://bucket") else { return }
        #expect(try S3Bucket(location, environmentRegion: nil).region == "us-east-1")
    }

    @Test(arguments: [
        ("s3://", "names no bucket"), ("s3:///prefix", "names no bucket"), ("s3://ab", "names no bucket"),
        ("s3://Bucket", "names no bucket"), ("s3://a_b_c", "names no bucket"),
        ("s3://bucket.", "names no bucket"),
        ("s3://a..b", "names no bucket"), ("s3://-bucket", "names no bucket"),
        ("s3://user:secret@bucket/", "names no bucket"), ("s3://bucket/a//b", "the prefix is not an object key"),
        ("s3://bucket/..", "the prefix is not an object key"), ("s3://bucket/~x", "the prefix is not an object key"),
        ("s3://bucket/a/a/a/a/a/a/a/a/a", "too long"), ("s3://bucket#a", "fragment"),
        ("s3://bucket?endpont=http://a", "unknown parameter 'endpont': known ones are endpoint, region"),
        ("s3://bucket?region", "'region' has no value"), ("s3://bucket?region=", "'region' has no value"),
        ("s3://bucket?region=%2", "malformed"), ("s3://bucket?region=a%00", "malformed"),
        ("s3://bucket?region=a&region=b", "twice"), ("s3://bucket?region=a/b", "not a region's name"),
        ("s3://bucket?endpoint=127.0.0.1:8333", "not a server's URL"),
        ("s3://bucket?endpoint=ftp://a", "not a server's"),
        ("s3://bucket?endpoint=http://a/b", "not a server's URL"),
        ("s3://bucket?endpoint=http://u:secret@a", "server's URL"),
        ("s3://bucket?endpoint=http://u:x&secret@a", "unknown parameter: known"),
        ("s3://bucket?endpoint=http://u:x&secret=1&y@a", "unknown parameter: known"),
        ("s3://user:secret/x@bucket", "names no bucket"), ("s3://user:x?secret@bucket", "names no bucket"),
        ("s3://bucket?style=dns", "'path' or 'virtual'"),
        ("s3://bucket?endpoint=http://127.0.0.1:1&style=virtual", "an address has no subdomains"),
        ("s3://bucket?endpoint=http://[::1]:1&style=virtual", "an address has no subdomains"),
    ])
    func refuses(_ url: String, _ message: String) {
        #expect { try ObjectStoreLocation(url) } throws: { error in
            (error as? ObjectStoreError)?.code == .invalidLocation && "\(error)".contains(message)
                && !"\(error)".contains("secret")
        }
    }
}
