// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.zip.GZIPInputStream;
import org.apache.commons.rng.UniformRandomProvider;

/// Byte-level language model: the next byte of a text.
///
/// Windows of n + 1 bytes at uniform places: the first 95 % of the text are for training, where
/// every position is asked; the last 5 % for tests, where those are asked that have seen at least
/// n/2 bytes. The loss in bits is then bits per byte. What the text says next is not determined, so
/// there is no solver.
///
/// @param n bytes of a window
/// @param text a file; empty: sources of this toolkit, 5.9 MB of Java and Markdown
/// @param part of the text that samples come from; training draws from its own
@TaskInfo(
    name = "bytes",
    title = "Byte-level language model",
    source = "a text of one's own, or sources of this toolkit (Apache-2.0)",
    asks = "the next byte, with at least half a window of context",
    solver = "none: what a text says next is not determined")
public record Bytes(
    @Parameter(value = "bytes of a window n, >= 2", defaultValue = "256") int n,
    @Parameter(value = "file; empty: sources of this toolkit", defaultValue = "") String text,
    @Parameter(value = "what samples come from", defaultValue = "held_out") Part part)
    implements Task {
  private static final int BYTES = 256;
  private static final int HELD_OUT_SHARE = 20;
  private static final Map<String, byte[]> TEXTS = new ConcurrentHashMap<>();
  private static final Map<String, Map<String, Double>> FLOORS = new ConcurrentHashMap<>();

  /// Parts of a text.
  public enum Part {
    /// The first 95 %.
    TRAINING,
    /// The last 5 %, asked with at least half a window of context.
    HELD_OUT,
    /// The last 5 %, asked at every position.
    HELD_OUT_WHOLE
  }

  /// Validates the size.
  public Bytes {
    Choices.atLeast("n", n, 2);
  }

  private byte[] read() {
    try {
      byte[] all = TEXTS.get(text);
      if (all == null) {
        all = text.isEmpty() ? builtIn() : Files.readAllBytes(Path.of(text));
        TEXTS.put(text, all);
      }
      return all;
    } catch (IOException e) {
      throw new IllegalArgumentException(
          "text must be a file that can be read, but was " + text + " (" + e + ")", e);
    }
  }

  private static byte[] builtIn() throws IOException {
    try (InputStream packed =
            Objects.requireNonNull(Bytes.class.getResourceAsStream("sources.txt.gz"));
        InputStream in = new GZIPInputStream(packed)) {
      return in.readAllBytes();
    }
  }

  /// Where the part begins, in a text of some length.
  private int from(int length) {
    return part == Part.TRAINING ? 0 : length - length / HELD_OUT_SHARE;
  }

  /// Where the part ends.
  private int to(int length) {
    return part == Part.TRAINING ? length - length / HELD_OUT_SHARE : length;
  }

  private byte[] checked() {
    byte[] all = read();
    int there = to(all.length) - from(all.length);
    if (there < n + 1) {
      throw new IllegalArgumentException(
          "n must be below the "
              + there
              + " bytes of the "
              + (part == Part.TRAINING ? "first 95 %" : "last 5 %")
              + " of the text, but was "
              + n);
    }
    return all;
  }

  @Override
  public int vocab() {
    return BYTES;
  }

  @Override
  public int classes() {
    return BYTES;
  }

  @Override
  public int positions() {
    return n;
  }

  /// The bytes of the part that samples come from.
  ///
  /// @throws IllegalArgumentException if the text cannot be read
  public byte[] ofPart() {
    byte[] all = read();
    return Arrays.copyOfRange(all, from(all.length), to(all.length));
  }

  /// Bytes as tokens.
  ///
  /// @param from the first byte
  /// @param count number of tokens
  public static int[] tokens(byte[] bytes, int from, int count) {
    int[] tokens = new int[count];
    for (int t = 0; t < count; t++) {
      tokens[t] = Byte.toUnsignedInt(bytes[from + t]);
    }
    return tokens;
  }

  private int firstAsked() {
    return part == Part.HELD_OUT ? n / 2 : 0;
  }

  @Override
  public int asked() {
    return n - firstAsked();
  }

  /// Share of the most frequent byte in the part; one of 256 where the text cannot be read.
  @Override
  public double chance() {
    byte[] all;
    try {
      all = read();
    } catch (IllegalArgumentException e) {
      return 1.0 / BYTES;
    }
    int[] counts = new int[BYTES];
    int from = from(all.length);
    int to = to(all.length);
    for (int i = from; i < to; i++) {
      counts[all[i] & 0xff]++;
    }
    return to == from ? 1.0 / BYTES : (double) Arrays.stream(counts).max().orElse(0) / (to - from);
  }

  /// Of the last 5 %, from counts of the first 95 %: of bytes alone, and of bytes after the three
  /// before them with back-off ([ByteTables]). Empty where the text cannot be read or is too short.
  @Override
  public Map<String, Double> floors() {
    try {
      byte[] all = checked();
      return FLOORS.computeIfAbsent(text, _ -> floors(all));
    } catch (IllegalArgumentException e) {
      return Map.of();
    }
  }

  private static Map<String, Double> floors(byte[] all) {
    int border = all.length - all.length / HELD_OUT_SHARE;
    Map<String, Double> floors = new LinkedHashMap<>();
    floors.put("bytes counted alone", bits(all, border, 0));
    floors.put(
        "bytes counted after the three before, with back-off",
        bits(all, border, ByteTables.LONGEST_CONTEXT));
    return Collections.unmodifiableMap(floors);
  }

  private static double bits(byte[] all, int border, int order) {
    return new ByteTables(all, border, order).bits(all, border, all.length);
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    byte[] all = checked();
    int from = from(all.length);
    int start = from + random.nextInt(to(all.length) - from - n);
    for (int t = 0; t < n; t++) {
      tokens[t] = all[start + t] & 0xff;
      labels[t] = t < firstAsked() ? IGNORE : all[start + t + 1] & 0xff;
    }
  }

  /// There is none.
  ///
  /// @throws UnsupportedOperationException always
  @Override
  public Solver solver() {
    throw new UnsupportedOperationException(
        "bytes has no solver: what a text says next is not determined");
  }

  /// Windows of the first 95 %.
  ///
  /// @throws IllegalArgumentException if the text cannot be read or is too short
  @Override
  public Task training() {
    checked();
    Bytes training = new Bytes(n, text, Part.TRAINING);
    training.checked();
    return training;
  }

  /// The last 5 %, asked at every position.
  @Override
  public Optional<Task> askedEverywhere() {
    return Optional.of(new Bytes(n, text, Part.HELD_OUT_WHOLE));
  }

  @Override
  public Task atLength(int length) {
    return new Bytes(length, text, part);
  }
}
