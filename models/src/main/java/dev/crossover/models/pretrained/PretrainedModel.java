// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.training.TrainedModel;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.jspecify.annotations.Nullable;

/// A trained language model by name: the built-in one over bytes, or a file of `crossover train
/// --keep` or `--export`.
///
/// The file says what model it holds: options of blocks and sizes are metadata of the safetensors,
/// weights are F32 or F16.
///
/// @param name `builtin`, or the file's name
/// @param model options, sizes and weights
/// @param digest the first 16 hexadecimal digits of the SHA-256 of the file
public record PretrainedModel(String name, TrainedModel model, String digest) {
  /// The name of the model that is part of a build.
  public static final String BUILT_IN = "builtin";

  private static final String RESOURCE = "bytes.safetensors";
  private static final int BYTES = 256;

  /// Whether this build has a model of its own.
  public static boolean hasBuiltIn() {
    return PretrainedModel.class.getResource(RESOURCE) != null;
  }

  /// Reads a model.
  ///
  /// @param name `builtin`, or a file
  /// @throws IllegalArgumentException if the built-in model is asked for and this build has none
  /// @throws IOException if the file is absent, malformed, or holds no language model
  public static PretrainedModel load(String name) throws IOException {
    if (!name.equals(BUILT_IN)) {
      Path path = Path.of(name);
      return read(String.valueOf(path.getFileName()), path);
    }
    try (InputStream in = PretrainedModel.class.getResourceAsStream(RESOURCE)) {
      return builtIn(in);
    }
  }

  /// The built-in model.
  ///
  /// @param in its file; null where the build has none
  static PretrainedModel builtIn(@Nullable InputStream in) throws IOException {
    if (in == null) {
      throw new IllegalArgumentException(
          "the built-in language model must be part of this build to be used, but is not: name a"
              + " file of crossover train --keep");
    }
    Path copy = Files.createTempFile("crossover-bytes", ".safetensors");
    try {
      Files.copy(in, copy, StandardCopyOption.REPLACE_EXISTING);
      return read(BUILT_IN, copy);
    } finally {
      Files.deleteIfExists(copy);
    }
  }

  private static PretrainedModel read(String name, Path path) throws IOException {
    TrainedModel model = TrainedModel.read(path);
    return new PretrainedModel(name, model, Digest.of(Files.readAllBytes(path)));
  }

  /// This model, which must read bytes.
  ///
  /// @throws TensorFileException if its tokens are others
  public PretrainedModel requireBytes() throws TensorFileException {
    int tokens = model.sizes().size("vocabulary");
    if (tokens != BYTES) {
      throw new TensorFileException(
          Path.of(name), "vocabulary must be 256, the bytes, but was " + tokens);
    }
    return this;
  }
}
