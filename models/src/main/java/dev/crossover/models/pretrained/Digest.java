// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/// A short name for the content of a file of weights or texts.
public final class Digest {
  private static final int DIGITS = 16;

  private Digest() {}

  /// The first 16 hexadecimal digits of a SHA-256.
  public static String of(byte[] bytes) {
    try {
      byte[] sum = MessageDigest.getInstance("SHA-256").digest(bytes);
      return HexFormat.of().formatHex(sum).substring(0, DIGITS);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }
}
