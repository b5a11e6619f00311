import HTTP
import Testing

@testable import Registry

struct RangeTests {
    @Test(arguments: [
        ("bytes 0-99/1000", ContentRangeExpectation(0...99, 1000)),
        ("BYTES 5-5/*", ContentRangeExpectation(5...5, nil)),
        ("bytes 0-99/99", nil), ("bytes 9-5/10", nil), ("bytes */1000", nil), ("bytes 0-/10", nil),
        ("bytes -5/10", nil), ("bytes=0-5/10", nil), ("0-5/10", nil), ("bytes 0-5", nil), ("items 0-5/10", nil),
        ("bytes 0-5/10/10", nil), ("bytes +0-5/10", nil), ("bytes 0-99999999999999999999/*", nil), ("", nil),
    ])
    func contentRange(value: String, expected: ContentRangeExpectation?) {
        #expect(ContentRange(value).map { ContentRangeExpectation($0.bytes, $0.total) } == expected)
    }

    struct ContentRangeExpectation: Equatable, Sendable {
        let bytes: ClosedRange<Int64>
        let total: Int64?
        init(_ bytes: ClosedRange<Int64>, _ total: Int64?) {
            self.bytes = bytes
            self.total = total
        }
    }

    /// Status replies: the header, what we sent, the offset to continue from.
    @Test(
        arguments: [
            ("0-99", 100, 100), ("0-99", 1000, 100), (nil, 100, 0),
            // Never more than we sent.
            ("0-999", 100, 100),
            // distribution and zot say 0-0 of an empty session and of one byte.
            ("0-0", 0, 0), ("0-0", 1, 0), ("0-0", 100, 0),
            // Quay: a prefix, and one too high; 0--1 of an empty session.
            ("bytes=0-50", 100, 50), ("bytes=0-100", 100, 100), ("bytes=0--1", 100, 0),
            // Another registry with the prefix and all that was sent.
            ("bytes=0-99", 100, 100),
            (" 0-9 ", 100, 10),
            ("1-99", 100, nil), ("0-", 100, nil), ("0-x", 100, nil), ("", 100, nil), ("99", 100, nil),
            ("0-9223372036854775807", 100, nil),
        ] as [(String?, Int64, Int64?)])
    func statusOffset(value: String?, sent: Int64, expected: Int64?) {
        #expect(UploadRange.statusOffset(value, sent: sent) == expected)
    }

    /// Replies to an accepted chunk from 100 to 200.
    @Test(
        arguments: [
            ("0-199", 200, UploadRange.Agreement.agrees), (nil, 200, .agrees), ("bytes=0-199", 200, .agrees),
            ("nonsense", 200, .agrees),
            ("0-200", 200, .ahead),  // Quay's count
            ("0-149", 150, .partial),
            ("0-99", 200, .stuck), ("0-49", 200, .stuck), ("0-0", 200, .stuck),  // ECR repeats its first answer
        ] as [(String?, Int64, UploadRange.Agreement)])
    func chunkOffset(value: String?, expected: Int64, agreement: UploadRange.Agreement) {
        let (offset, found) = UploadRange.chunkOffset(value, previous: 100, sent: 200)
        #expect(offset == expected)
        #expect(found == agreement)
    }

    @Test func aFirstChunkOfOneByte() {
        #expect(UploadRange.chunkOffset("0-0", previous: 0, sent: 1) == (1, .agrees))
    }

    @Test(
        arguments: [
            (
                206, ["Content-Range": "bytes 10-19/100", "Content-Length": "10"],
                BlobAnswer.fits(length: 10, total: 100)
            ),
            (206, ["Content-Range": "bytes 10-19/*"], .fits(length: 10, total: 100)),
            (200, ["Content-Length": "100"], .rangeIgnored),
            (206, ["Content-Range": "bytes 0-9/100"], .violates("asked for bytes 10-19, got 0-9")),
            (206, ["Content-Range": "bytes 10-18/100"], .violates("asked for bytes 10-19, got 10-18")),
            (206, ["Content-Range": "bytes 10-19/99"], .violates("the blob has 99 bytes, its descriptor says 100")),
            (206, [:], .violates("a partial response without one readable Content-Range")),
            (
                206, ["Content-Range": "bytes 10-19/100", "Content-Length": "11"],
                .violates("a range of 10 bytes is announced with 11")
            ),
            (
                206, ["Content-Range": "bytes 10-19/100", "Content-Encoding": "gzip"],
                .violates(
                    "the blob is served with an encoding, so that its digest cannot be verified: a proxy does that")
            ),
        ] as [(Int, HTTPHeaders, BlobAnswer)])
    func rangeAnswers(status: Int, headers: HTTPHeaders, expected: BlobAnswer) {
        #expect(BlobAnswer(HTTPResponseHead(status: status, headers: headers), range: 10...19, size: 100) == expected)
    }

    @Test func twoContentRangesAreRefused() {
        var headers: HTTPHeaders = ["Content-Range": "bytes 10-19/100"]
        headers.add("Content-Range", "bytes 10-19/100")
        #expect(
            BlobAnswer(HTTPResponseHead(status: 206, headers: headers), range: 10...19, size: 100)
                == .violates("a partial response without one readable Content-Range"))
    }

    @Test func wholeAnswers() {
        let head = { HTTPResponseHead(status: 200, headers: $0) }
        #expect(BlobAnswer(head(["Content-Length": "7"]), range: nil, size: 7) == .fits(length: 7, total: 7))
        #expect(BlobAnswer(head([:]), range: nil, size: 7) == .fits(length: 7, total: 7))
        #expect(BlobAnswer(head([:]), range: nil, size: nil) == .fits(length: nil, total: nil))
        #expect(
            BlobAnswer(head(["Content-Length": "8"]), range: nil, size: 7)
                == .violates("the blob has 8 bytes, its descriptor says 7"))
    }

    @Test(
        arguments: [
            (["</v2/a/tags/list?n=2&last=b>; rel=\"next\""], "/v2/a/tags/list?n=2&last=b"),
            (["<https://x/y>;rel=next"], "https://x/y"),
            (["<a>; rel=\"prev\", <b>; title=\"x\"; Rel=\"Next\""], "b"),
            (["<a>; rel=prev", "<c>; rel=next"], "c"),
            (["<a>; rel=\"prev\""], nil), (["nonsense"], nil), ([], nil),
        ] as [([String], String?)])
    func links(values: [String], expected: String?) {
        var headers = HTTPHeaders()
        for value in values { headers.add("Link", value) }
        #expect(RegistryClient.nextLink(HTTPResponseHead(status: 200, headers: headers)) == expected)
    }
}
