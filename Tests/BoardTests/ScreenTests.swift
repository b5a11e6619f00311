import Readiness
import TestSupport
import Testing

@testable import Board
@testable import Console

@Suite(.timeLimit(.minutes(5))) struct ScreenTests {
    private static func screen(_ columns: Int = 100, _ rows: Int = 30, isUnicode: Bool = true) throws -> BoardScreen {
        var screen = BoardScreen(
            scope: "", size: .init(columns: columns, rows: rows), isUnicode: isUnicode)
        screen.show(Board(try DemoFleet.standing()))
        return screen
    }

    private static func text(_ screen: BoardScreen) -> String { screen.lines.map(\.plain).joined(separator: "\n") }

    /// Whatever the size, the screen is full and nothing is wider than it.
    @Test(arguments: [(1, 1), (1, 2), (2, 3), (10, 5), (40, 10), (80, 24), (100, 30), (300, 200), (5000, 5000)])
    func theScreenIsFull(_ columns: Int, _ rows: Int) throws {
        var screen = try Self.screen(columns, rows)
        for key in [nil, .sites, .down, .pageDown, .end, .reasons, .help, .home] as [BoardScreen.Key?] {
            if let key { screen.press(key) }
            for isFailing in [false, true] {
                if isFailing { screen.fail("the store is away") } else { screen.show(Board(try DemoFleet.standing())) }
                #expect(screen.lines.count == min(rows, 1000))
                #expect(screen.lines.allSatisfy { $0.columns <= columns })
            }
        }
    }

    @Test func aTerminalWithoutASizeHasTheUsualOne() {
        #expect(BoardScreen.Size(columns: 0, rows: -1) == BoardScreen.Size(columns: 80, rows: 24))
    }

    @Test func whatBlocksIsShown() throws {
        let text = Self.text(try Self.screen(120, 80))
        for words in [
            "2026-03-01T12:00:00Z  2 of 5 gates ready.", "production  0 of 2 gates ready, 10 sites",
            "✕ platform-4.17.3  █████░░░░░ 1/2", "not promoted, all in about 2 min 5 s",
            "✕ qa-osaka  ███████░░░░░░░░░ 44 % of 1.3 GiB, 24.0 MiB/s, ready in about 2 min 5 s",
            "from registry.central.example 16.0 MiB/s, mirror.emea.example:5000 8.0 MiB/s",
            "silent (edge-agents-12, platform-4.17.3): it has no cache manifest", "paused until 2026-03-01T20:00:00Z",
            "waived by jane.doe until 2026-03-01T18:00:00Z: The line to Perth", "archive  nothing staged, 1 site",
        ] { #expect(text.contains(words), "\(words)") }
        #expect(!text.contains("tromso-1"))
    }

    @Test func keysMoveAndChoose() throws {
        var screen = try Self.screen(100, 12)
        let top = Self.text(screen)
        #expect(top.contains("lab  2 of 2"))
        screen.press(.up)
        #expect(Self.text(screen) == top)
        screen.press(.next)
        #expect(screen.lines[1].plain.hasPrefix("qa  0 of 1"))
        screen.press(.next)
        #expect(screen.lines[1].plain.hasPrefix("production  0 of 2"))
        screen.press(.down)
        #expect(!Self.text(screen).contains("production  0 of 2"))
        screen.press(.previous)
        screen.press(.previous)
        #expect(screen.lines[1].plain.hasPrefix("qa"))
        screen.press(.end)
        #expect(screen.lines[10].plain.hasPrefix("archive"))
        let end = Self.text(screen)
        screen.press(.pageDown)
        #expect(Self.text(screen) == end)
        screen.press(.sites)
        #expect(Self.text(screen) != end)
        screen.press(.end)
        #expect(screen.lines[10].plain.contains("vault-1"))
        // With less to show, there is less to scroll.
        screen.press(.sites)
        screen.press(.reasons)
        #expect(screen.lines[10].plain.hasPrefix("archive"))
        screen.press(.home)
        screen.press(.help)
        #expect(Self.text(screen).contains("Ctrl-C"))
        screen.press(.help)
        #expect(screen.lines[1].plain.hasPrefix("lab"))
    }

    @Test func whatIsOldIsSaidToBeOld() throws {
        var screen = BoardScreen(scope: "lab", size: .init(columns: 100, rows: 10), isUnicode: true)
        #expect(screen.lines[0].plain.contains("reading"))
        screen.fail("s3://bucket: away\u{1B}[2J")
        #expect(screen.lines[1].plain == "Nothing is known: s3://bucket: away?[2J")
        screen.show(Board(try DemoFleet.standing()))
        #expect(!Self.text(screen).contains("away"))
        screen.fail("away")
        #expect(screen.lines[1].plain == "Out of date since 2026-03-01T12:00:00Z: away")
        #expect(screen.lines[2].plain.hasPrefix("lab"))
    }

    @Test func withoutUnicodeEverythingIsASCII() throws {
        var screen = try Self.screen(200, 100, isUnicode: false)
        screen.press(.sites)
        let text = Self.text(screen)
        #expect(text.allSatisfy { $0.isASCII })
        #expect(text.contains("x qa-osaka   #######......... 44 %"))
    }

    @Test(
        arguments: [
            ("q", [.quit]), ("\u{3}", [.quit]), ("jk\u{1B}[A\u{1B}[B", [.down, .up, .up, .down]), ("\u{1B}OA", [.up]),
            ("\u{1B}[5~\u{1B}[6~ b", [.pageUp, .pageDown, .pageDown, .pageUp]),
            ("\u{1B}[H\u{1B}[F\u{1B}[1~\u{1B}[4~gG", [.home, .end, .home, .end, .home, .end]),
            ("np\tad?\u{C}\u{1A}", [.next, .previous, .next, .sites, .reasons, .help, .redraw, .suspend]),
            // What is unknown is swallowed whole, and does not become keys of its own.
            ("\u{1B}[1;5Aj", [.down]), ("\u{1B}[200~q", [.quit]), ("\u{1B}xq", [.quit]), ("\u{1B}\u{1B}[A", [.up]),
            ("é漢", []),
            ("\u{1B}[111111111111q", [.quit]),
        ] as [(String, [BoardScreen.Key])])
    func keysAreRead(_ typed: String, _ keys: [BoardScreen.Key]) {
        var input = BoardScreen.Input()
        #expect(input.take(Array(typed.utf8)) == keys)
        var slow = BoardScreen.Input()
        #expect(typed.utf8.flatMap { slow.take([$0]) } == keys)
    }

    @Test func onlyWhatDiffersIsSent() {
        let first = BoardScreen.update(["a", "b", "c"], from: nil)
        #expect(
            first.bytes
                == "\u{1B}[?2026h\u{1B}[2J\u{1B}[1;1Ha\u{1B}[K\u{1B}[2;1Hb\u{1B}[K\u{1B}[3;1Hc\u{1B}[K\u{1B}[?2026l")
        #expect(BoardScreen.update(["a", "b", "c"], from: first.shown).bytes == "")
        #expect(
            BoardScreen.update(["a", "x", "c"], from: first.shown).bytes
                == "\u{1B}[?2026h\u{1B}[2;1Hx\u{1B}[K\u{1B}[?2026l")
    }

    @Test func aPartOfTheBoardIsShownAlone() throws {
        let board = Board(try DemoFleet.standing())
        #expect(board.only("qa")?.environments.map(\.name.text) == ["qa"])
        let list = try #require(board.only("edge-agents-12"))
        #expect(list.environments.map(\.name.text) == ["lab", "production"])
        #expect(list.environments.allSatisfy { $0.lists.map(\.name.text) == ["edge-agents-12"] })
        #expect(list.environments[1].count(of: .blocked) == 5)
        #expect(board.only("moon") == nil)
        #expect(
            list.plainLines == [
                "edge-agents-12 in lab: ready, 2 of 2 sites ready",
                "edge-agents-12 in production: blocked, 5 of 10 sites ready; incomplete at dallas-1, dallas-2; expired at"
                    + " lima-1; silent at lagos-1; unknown-list at osaka-2",
            ])
    }
}

@Suite struct StyledTextTests {
    @Test func stylesAreShownWhereTheyMayBe() {
        let text = StyledText("blocked", .bad) + " at " + StyledText("a\u{1B}[0m\n", .strong)
        #expect(text.plain == "blocked at a?[0m?")
        #expect(text.rendered(colours: false) == text.plain)
        #expect(text.rendered(colours: true) == "\u{1B}[1;31mblocked\u{1B}[0m at \u{1B}[1ma?[0m?\u{1B}[0m")
    }

    @Test(arguments: [
        ("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abcdef", 1, "…"), ("abcdef", 0, ""), ("漢字漢字", 5, "漢字…"),
        ("漢字", 3, "漢…"), ("e\u{301}e\u{301}e", 2, "e\u{301}…"),
    ])
    func textIsCutAtColumns(_ text: String, _ columns: Int, _ cut: String) {
        #expect(StyledText(text).cut(to: columns).plain == cut)
        #expect((StyledText(text, .bad) + "!").cut(to: columns).columns <= columns)
    }

    @Test func textIsPadded() {
        #expect(StyledText("漢").padded(to: 4).plain == "漢  ")
        #expect(StyledText("abc").padded(to: 2).plain == "abc")
    }

    @Test(
        arguments: [
            (ColourOptions.Choice.auto, true, [:], true), (.auto, false, [:], false),
            (.auto, true, ["NO_COLOR": "1"], false),
            (.auto, true, ["NO_COLOR": ""], true), (.auto, true, ["TERM": "dumb"], false),
            (.auto, true, ["TERM": "xterm"], true), (.always, false, ["NO_COLOR": "1", "TERM": "dumb"], true),
            (.never, true, [:], false),
        ] as [(ColourOptions.Choice, Bool, [String: String], Bool)])
    func coloursAreForTerminals(
        _ choice: ColourOptions.Choice, _ isTerminal: Bool, _ environment: [String: String], _ isOn: Bool
    ) {
        #expect(ColourOptions.isOn(choice, isTerminal: isTerminal, environment: environment) == isOn)
    }

    @Test(
        arguments: [
            ([:], false), (["LANG": "C"], false), (["LANG": "C.UTF-8"], true), (["LANG": "de_CH.utf8"], true),
            (["LANG": "C.UTF-8", "LC_ALL": "C"], false), (["LANG": "C", "LC_CTYPE": "en_US.UTF-8"], true),
            (["LANG": "C.UTF-8", "LC_ALL": ""], true),
        ] as [([String: String], Bool)])
    func theLocaleSaysWhatIsShown(_ environment: [String: String], _ isUnicode: Bool) {
        #expect(FullScreen.isUnicode(environment) == isUnicode)
    }
}
