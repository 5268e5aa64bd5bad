// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import java.io.Flushable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Locale;

/// Tells a person how far a sweep is: one line that renews itself on a terminal, plain lines
/// elsewhere.
public final class Progress {
  private static final String ERASE_LINE = "\r\u001b[K";

  private final Appendable out;
  private final boolean terminal;
  private boolean lineOpen;

  /// Writes to `out`.
  ///
  /// @param out where lines go
  /// @param terminal whether it can erase a line
  public Progress(Appendable out, boolean terminal) {
    this.out = out;
    this.terminal = terminal;
  }

  /// A line that stays.
  public void say(String line) {
    write((lineOpen ? ERASE_LINE : "") + line + "\n");
    lineOpen = false;
  }

  /// A fork has ended.
  ///
  /// @param done forks done
  /// @param total forks of the whole sweep
  /// @param what the point and its result
  /// @param left estimated time left
  public void forkDone(int done, int total, String what, Duration left) {
    int width = Integer.toString(total).length();
    String line =
        String.format(Locale.ROOT, "[%" + width + "d/%d] %s", done, total, what)
            + (done < total ? " (" + text(left) + " left)" : "");
    if (terminal) {
      write(ERASE_LINE + line);
      lineOpen = true;
    } else {
      write(line + "\n");
    }
  }

  /// Ends the line that renews itself.
  public void end() {
    if (lineOpen) {
      write("\n");
      lineOpen = false;
    }
  }

  /// `45 s`, `3 min 20 s` or `2 h 5 min`.
  public static String text(Duration duration) {
    long seconds = Math.max(0, duration.toSeconds());
    if (seconds < 60) {
      return seconds + " s";
    }
    if (seconds < 3600) {
      return seconds / 60 + " min " + seconds % 60 + " s";
    }
    return seconds / 3600 + " h " + seconds % 3600 / 60 + " min";
  }

  /// Seconds as `1.23 ms`, with a unit that leaves one to three digits before the point.
  public static String seconds(double seconds) {
    if (seconds < 1e-3) {
      return String.format(Locale.ROOT, "%.3g µs", seconds * 1e6);
    }
    return seconds < 1
        ? String.format(Locale.ROOT, "%.3g ms", seconds * 1e3)
        : String.format(Locale.ROOT, "%.3g s", seconds);
  }

  private void write(String text) {
    try {
      out.append(text);
      if (out instanceof Flushable flushable) {
        flushable.flush();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
