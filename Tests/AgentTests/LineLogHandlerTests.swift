import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Testing

@testable import Console

@Suite struct LineLogHandlerTests {
    private func lines(_ form: LineLogHandler.Form, _ body: (inout Logger) -> Void) -> [String] {
        let output = Mutex<[String]>([])
        withoutActuallyEscaping(body) { body in
            let handler = LineLogHandler(form, now: { "2027-01-15T08:00:00Z" }) { line in
                output.withLock { $0.append(line) }
            }
            var logger = Logger(label: "test", factory: { _ in handler })
            body(&logger)
        }
        return output.withLock { $0 }
    }

    /// Loggers are copied everywhere: what they share reaches all of them.
    @Test func theFormAndTheLevelChangeWhileItLogs() {
        let output = Mutex<[String]>([])
        let volume = LogVolume()
        let handler = LineLogHandler(.json, volume: volume, now: { "T" }) { line in output.withLock { $0.append(line) }
        }
        let logger = Logger(label: "test", factory: { _ in handler })
        logger.info("one")
        volume.form = .plain
        logger.info("two")
        logger.debug("three")
        volume.level = .debug
        volume.form = nil
        logger.debug("four")
        #expect(
            output.withLock { $0 } == [
                "{\"time\":\"T\",\"level\":\"info\",\"message\":\"one\"}\n", "T info two\n",
                "{\"time\":\"T\",\"level\":\"debug\",\"message\":\"four\"}\n",
            ])
    }

    @Test func jsonHasTimeLevelMessageAndSortedMetadata() {
        let lines = lines(.json) { logger in
            logger[metadataKey: "site"] = "lab-1"
            logger.info(
                "pass finished", metadata: ["missing": .stringConvertible(3), "complete": .stringConvertible(false)])
        }
        #expect(
            lines == [
                #"{"time":"2027-01-15T08:00:00Z","level":"info","message":"pass finished","#
                    + #""complete":false,"missing":3,"site":"lab-1"}"# + "\n"
            ])
    }

    @Test(arguments: [
        "plain", "\"quoted\" \\ back", "two\nlines\r\t", "\u{1}\u{1F}\u{7F}\u{9B}", "ünïcödé 🚀", "\u{2028}",
    ])
    func everyTextIsOneLineThatReadsBack(text: String) throws {
        let lines = lines(.json) { logger in
            logger.warning(
                "\(text)", metadata: ["key \(text)": "\(text)", "list": ["\(text)"], "map": ["k": "\(text)"]])
        }
        let line = try #require(lines.first)
        #expect(line.filter(\.isNewline) == "\n")
        struct Record: Decodable {
            let message: String
            let list: [String]
            let map: [String: String]
        }
        let record = try JSONDecoder().decode(Record.self, from: Data(line.utf8))
        #expect(record.message == text)
        #expect(record.list == [text])
        #expect(record.map == ["k": text])
    }

    /// As journalctl's `-p` needs it.
    @Test func linesForTheJournalBearTheirLevels() {
        let output = Mutex<[String]>([])
        let handler = LineLogHandler(.json, bearsLevels: true, now: { "now" }) { line in
            output.withLock { $0.append(String(line.prefix(4))) }
        }
        let logger = Logger(label: "test", factory: { _ in handler })
        logger.info("a")
        logger.warning("b")
        logger.error("c")
        #expect(output.withLock { $0 } == ["<6>{", "<4>{", "<3>{"])
        // Standard error of the tests is no journal.
        #expect(!Journal.takesStandardError(environment: [:]))
        #expect(!Journal.takesStandardError(environment: ["JOURNAL_STREAM": "1:2"]))
        var status = stat()
        #expect(fstat(STDERR_FILENO, &status) == 0)
        #expect(Journal.takesStandardError(environment: ["JOURNAL_STREAM": "\(status.st_dev):\(status.st_ino)"]))
    }

    @Test func metadataCannotForgeTheFixedFields() {
        let lines = lines(.json) { $0.error("real", metadata: ["message": "forged"]) }
        #expect(lines.first?.contains(#""message":"real","message_":"forged""#) == true)
    }

    @Test func plainTextCannotSteerTheTerminal() {
        let lines = lines(.plain) { $0.notice("a\nb\u{1B}[31m", metadata: ["key": "value"]) }
        #expect(lines == ["2027-01-15T08:00:00Z notice a b [31m key=value\n"])
    }

    @Test func lowerLevelsAreNotWritten() {
        #expect(lines(.json) { $0.debug("quiet") }.isEmpty)
    }
}
