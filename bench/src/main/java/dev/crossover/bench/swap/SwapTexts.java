// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.result.NamedFiles;
import dev.crossover.models.pretrained.Digest;
import dev.crossover.models.pretrained.WordPiece;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/// The texts that a swap study reads, one a line.
///
/// The built-in ones are 64 of 39 to 492 tokens: 24 written for this project, 40 in the public
/// domain (Newton's Opticks, the Jargon File, Bierce, the founding documents of the United States,
/// Austen).
///
/// @param name `built-in`, or the file's name
/// @param lines the texts
/// @param digest the first 16 hexadecimal digits of the SHA-256 of the lines
public record SwapTexts(String name, List<String> lines, String digest) {
  private static final String RESOURCE = "texts.txt";

  /// The texts of this project.
  public static SwapTexts builtIn() {
    try (InputStream in =
        Objects.requireNonNull(SwapTexts.class.getResourceAsStream(RESOURCE), RESOURCE)) {
      return of("built-in", in.readAllBytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Texts of a file in UTF-8; empty lines are left out.
  ///
  /// @throws IOException if the file cannot be read
  public static SwapTexts read(Path path) throws IOException {
    return of(String.valueOf(path.getFileName()), NamedFiles.bytes(path));
  }

  private static SwapTexts of(String name, byte[] bytes) {
    List<String> lines =
        new String(bytes, StandardCharsets.UTF_8)
            .lines()
            .map(String::strip)
            .filter(line -> !line.isEmpty())
            .toList();
    byte[] read = String.join("\n", lines).getBytes(StandardCharsets.UTF_8);
    return new SwapTexts(name, lines, Digest.of(read));
  }

  /// The numbers of every text.
  ///
  /// @param longest the largest number of tokens; longer texts are cut
  public List<int[]> encode(WordPiece tokenizer, int longest) {
    return lines.stream().map(line -> tokenizer.encode(line, longest)).toList();
  }
}
