import HTTP
import Testing

@testable import ObjectStore

@Suite struct XMLReaderTests {
    private func events(_ text: String) throws -> [XMLReader.Event] {
        var reader = XMLReader(Array(text.utf8))
        var events: [XMLReader.Event] = []
        while let event = try reader.next() { events.append(event) }
        return events
    }

    @Test(arguments: [
        ("<a/>", [XMLReader.Event.start("a"), .end("a")]),
        ("\u{FEFF}<?xml version=\"1.0\"?>\n<!-- c -- > --><a>x</a>\n", [.start("a"), .text("x"), .end("a")]),
        ("<s:a xmlns:s='u' b=\">/>\" ><b c='/>'/></s:a >", [.start("a"), .start("b"), .end("b"), .end("a")]),
        (
            "<a>&lt;&gt;&amp;&quot;&apos;&#228;&#xE4;&#x1F600;</a>",
            [.start("a"), .text("<>&\"'ää\u{1F600}"), .end("a")]
        ),
        ("<a><![CDATA[<b>&amp;]]></a>", [.start("a"), .text("<b>&amp;"), .end("a")]),
        ("<a><![CDATA[]]></a>", [.start("a"), .text(""), .end("a")]),
        ("<a>ä</a>", [.start("a"), .text("ä"), .end("a")]),
    ])
    func reads(_ text: String, _ expected: [XMLReader.Event]) throws {
        #expect(try events(text) == expected)
    }

    /// Among them the documents that other parsers open files or fill the memory for.
    @Test(arguments: [
        "", " ", "x", "<", "<a", "<a>", "<a></b>", "<a><b></a></b>", "</a>", "<a/><b/>", "<a/>x", "<a b='></a>",
        "< a/>",
        "<1/>", "<a>&nbsp;</a>", "<a>&b", "<a>&;</a>", "<a>&#;</a>", "<a>&#x;</a>", "<a>&#x110000;</a>",
        "<a>&#xD800;</a>",
        "<a>&#-1;</a>", "<a>&#99999999999;</a>", "<a><![CDATA[x</a>", "<![CDATA[x]]>", "<!-- <a/>", "<?xml <a/>",
        "<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>",
        String(repeating: "<a>", count: 33) + String(repeating: "</a>", count: 33),
        "<\(String(repeating: "a", count: 129))/>",
    ])
    func refuses(_ text: String) {
        #expect(throws: XMLReader.Fault.self) { try events(text) }
    }

    @Test func refusesBytesThatAreNoText() {
        var reader = XMLReader(Array("<a>".utf8) + [0xFF] + Array("</a>".utf8))
        #expect(throws: XMLReader.Fault.self) { while try reader.next() != nil {} }
    }

    /// No beginning of a document is complete, and none traps.
    @Test func refusesEveryBeginning() {
        let document = Array("<?xml version='1.0'?><a b='c'><!-- d --><e>f&amp;g</e><![CDATA[h]]><i/></a>".utf8)
        for length in 0..<document.count {
            var reader = XMLReader(Array(document.prefix(length)))
            #expect(throws: XMLReader.Fault.self, "\(length)") { while try reader.next() != nil {} }
        }
    }

    @Test func readsNestingToItsBound() throws {
        let depth = XMLReader.maximumDepth
        let text = String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        #expect(try events(text).count == 2 * depth)
    }
}

@Suite struct S3ListingTests {
    @Test func readsKeysAndWhereToGoOn() throws {
        let listing = try S3Listing(
            Array(
                """
                <?xml version="1.0" encoding="UTF-8"?>
                <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p%2F</Prefix>
                <Contents><Key>p%2Fa%3Db</Key><ETag>&quot;1&quot;</ETag><Owner><ID>x</ID></Owner></Contents>
                <Contents><ETag>"2"</ETag><Key>p%2Fc%FF</Key></Contents><Contents><Key>p/d</Key></Contents>
                <CommonPrefixes><Prefix>q</Prefix></CommonPrefixes><EncodingType>url</EncodingType>
                <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>
                </ListBucketResult>
                """.utf8))
        #expect(listing.keys == ["p/a=b", "p/d"])
        #expect(listing.continuation == "a&b=")
    }

    @Test func keysThatAreNotEncodedStayAsTheyAre() throws {
        let listing = try S3Listing(
            Array(
                """
                <ListBucketResult><Contents><Key>a%20b</Key></Contents><IsTruncated>false</IsTruncated>\
                <NextContinuationToken>x</NextContinuationToken></ListBucketResult>
                """.utf8))
        #expect(listing.keys == ["a%20b"])
        #expect(listing.continuation == nil)
    }

    @Test(arguments: [
        "<html><body>sign in</body></html>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents>", "{}",
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken/></ListBucketResult>",
    ])
    func refuses(_ text: String) {
        #expect(throws: XMLReader.Fault.self) { try S3Listing(Array(text.utf8)) }
    }
}

@Suite struct S3FaultTests {
    private func fault(_ body: String, headers: HTTPHeaders = [:]) -> S3Fault {
        S3Fault(S3Answer(status: 400, headers: headers, body: Array(body.utf8)))
    }

    @Test func readsAnErrorDocument() {
        let fault = fault(
            "<Error><Code>PermanentRedirect</Code><Message>a\u{1B}[31mb\n</Message><Region>eu-west-1</Region>"
                + "<Endpoint>e.example</Endpoint><Details><Code>Other</Code></Details></Error>")
        #expect(fault.code == "PermanentRedirect")
        #expect(fault.message == "a [31mb ")
        #expect(fault.region == "eu-west-1")
        #expect(fault.endpoint == "e.example")
    }

    /// A server that is no S3 store, a body that broke off, and names that are none.
    @Test(arguments: [
        ("<html><Code>x</Code></html>", ""), ("", ""), ("not found", ""),
        ("<Error><Code>NoSuchKey</Code><Mess", "NoSuchKey"),
        ("<Error><Code>a b</Code></Error>", ""), ("<Error><Code>../x</Code></Error>", ""),
    ])
    func readsWhatThereIs(_ body: String, _ code: String) {
        #expect(fault(body).code == code)
    }

    @Test func theHeaderNamesTheRegion() {
        #expect(fault("", headers: ["x-amz-bucket-region": "eu-west-1"]).region == "eu-west-1")
    }
}

@Suite struct ETagTests {
    @Test(arguments: [
        ("\"a\"", "a"), ("a", "a"), (" \"a-1\" ", "a-1"), ("W/\"a\"", "a"), ("", nil), ("\"\"", nil), ("\"", "\""),
    ])
    func reads(_ header: String, _ text: String?) {
        #expect(ETag(header: header)?.text == text)
    }
}
