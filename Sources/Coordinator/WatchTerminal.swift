import Board
import Console
import Dispatch
import Glibc
import UnixSignals

/// The driver around `BoardScreen`: keys, signals and looks in, lines out.
struct WatchTerminal: Sendable {
    private enum Event: Sendable {
        case keys([UInt8])
        /// Nobody can press a key any more.
        case hungUp
        case signal(UnixSignal)
        case board(Board)
        case failure(String)
    }

    /// Events that wait to be handled; of more, the latest are kept.
    private static let maximumEvents = 256

    /// The time between two looks.
    let interval: Duration
    let colours: Bool
    let look: @Sendable () async throws -> Board

    /// Draws until a key or a signal ends it, and gives the terminal back.
    ///
    /// - Returns: the signal that ended it; `nil` where a key did
    func run(_ screen: inout BoardScreen) async -> Int32? {
        let (events, send) = AsyncStream<Event>.makeStream(bufferingPolicy: .bufferingNewest(Self.maximumEvents))
        let signals = await UnixSignalsSequence(
            trapping: .sigterm, .sigint, .sighup, .sigquit, .sigwinch, .sigcont)
        let caught = Task { for await signal in signals { send.yield(.signal(signal)) } }
        let looks = Task { await looking(send) }
        let keyboard = Self.keyboard(send)
        var terminal = FullScreen()
        terminal.enter()
        defer {
            terminal.leave()
            keyboard.cancel()
            looks.cancel()
            caught.cancel()
        }
        var input = BoardScreen.Input()
        var shown: [String]?
        var isSuspended = false
        func draw() {
            guard !isSuspended else { return }
            let update = BoardScreen.update(screen.lines.map { $0.rendered(colours: colours) }, from: shown)
            shown = update.shown
            if !update.bytes.isEmpty { Terminal.draw(update.bytes) }
        }
        draw()
        for await event in events {
            switch event {
            case .board(let board): screen.show(board)
            case .failure(let message): screen.fail(message)
            case .hungUp: return SIGHUP
            case .signal(.sigwinch), .signal(.sigcont):
                // After a stop the shell may have left the terminal otherwise.
                if case .signal(.sigcont) = event {
                    terminal.enter()
                    isSuspended = false
                }
                let size = FullScreen.size
                screen.size = .init(columns: size.columns, rows: size.rows)
                screen.press(.redraw)
                shown = nil
            case .signal(let signal): return Self.number(of: signal)
            case .keys where isSuspended:
                // Nothing stopped it, as the first process of a container: somebody is still there.
                terminal.enter()
                (isSuspended, shown) = (false, nil)
            case .keys(let bytes):
                for key in input.take(bytes) {
                    switch key {
                    case .quit: return nil
                    case .suspend:
                        terminal.leave()
                        isSuspended = true
                        kill(getpid(), SIGSTOP)
                    case .redraw: shown = nil
                    default: screen.press(key)
                    }
                }
            }
            draw()
        }
        return nil
    }

    private func looking(_ send: AsyncStream<Event>.Continuation) async {
        while (try? await Task.sleep(for: interval)) != nil {
            do {
                send.yield(.board(try await look()))
            } catch {
                send.yield(.failure("\(error)"))
            }
        }
    }

    /// Reads what is pressed, on a queue of its own: no thread waits for it.
    private static func keyboard(_ send: AsyncStream<Event>.Continuation) -> any DispatchSourceRead {
        let source = DispatchSource.makeReadSource(
            fileDescriptor: STDIN_FILENO, queue: DispatchQueue(label: "rollcall.keyboard"))
        source.setEventHandler {
            var bytes = [UInt8](repeating: 0, count: 256)
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            if count > 0 {
                send.yield(.keys(Array(bytes.prefix(count))))
            } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
                send.yield(.hungUp)
            }
        }
        source.resume()
        return source
    }

    private static func number(of signal: UnixSignal) -> Int32 {
        switch signal {
        case .sigint: SIGINT
        case .sighup: SIGHUP
        case .sigquit: SIGQUIT
        default: SIGTERM
        }
    }
}
