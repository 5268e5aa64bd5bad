// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// The rules of BERT's uncased tokenizer, each on a vocabulary made for it.
class WordPieceTest {
  private static final List<String> WORDS =
      List.of(
          "[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "##sit", "un", "##able", "cafe",
          "!", "-", "東", "京", "ab", "σας", "a", "##a", "strasse", "$", "straße", "σασ");

  private static final WordPiece TOKENIZER = new WordPiece(vocabulary());

  private static Map<String, Integer> vocabulary() {
    Map<String, Integer> numbers = new HashMap<>();
    WORDS.forEach(word -> numbers.put(word, numbers.size()));
    return numbers;
  }

  private static void assertPieces(String text, String... pieces) {
    int[] expected = new int[pieces.length + 2];
    expected[0] = 2;
    expected[pieces.length + 1] = 3;
    for (int i = 0; i < pieces.length; i++) {
      expected[i + 1] = WORDS.indexOf(pieces[i]);
    }
    assertArrayEquals(expected, TOKENIZER.encode(text, 512), text);
  }

  @Test
  void longestPrefixesComeFirst() {
    assertPieces("the cats", "the", "cat", "##s");
    assertPieces("catsit", "cat", "##sit");
    assertPieces("unable", "un", "##able");
  }

  @Test
  void aWordWithAPieceThatFitsNowhereIsUnknownAsAWhole() {
    assertPieces("cats catz the", "cat", "##s", "[UNK]", "the");
  }

  @Test
  void lettersAreLoweredAndLoseTheirAccents() {
    assertPieces("CAFÉ cafe\u0301", "cafe", "cafe");
    assertPieces("straße", "straße");
  }

  /// The last sigma of a word is lowered like any other.
  @Test
  void loweringDoesNotDependOnThePlaceInAWord() {
    assertPieces("ΣΑΣ", "σασ");
  }

  @Test
  void punctuationIsAWord() {
    assertPieces("the-cat!$", "the", "-", "cat", "!", "$");
  }

  @Test
  void ideographsAreWords() {
    assertPieces("cat東京cat", "cat", "東", "京", "cat");
  }

  @Test
  void controlCharactersVanishWithoutSplitting() {
    assertPieces("a\u200bb a\u00adb\u0000 \ufeffab", "ab", "ab", "ab");
    assertPieces("the\tcat\n\u00a0the\u2003cat", "the", "cat", "the", "cat");
  }

  @Test
  void wordsOfMoreThanAHundredLettersAreUnknown() {
    String[] pieces = new String[100];
    java.util.Arrays.fill(pieces, "##a");
    pieces[0] = "a";
    assertPieces("a".repeat(100), pieces);
    assertPieces("a".repeat(101), "[UNK]");
  }

  @Test
  void longTextsKeepTheirFirstPieces() {
    assertArrayEquals(new int[] {2, 4, 5, 3}, TOKENIZER.encode("the cats the", 4));
    assertArrayEquals(new int[] {2, 3}, TOKENIZER.encode("", 4));
    assertThrows(IllegalArgumentException.class, () -> TOKENIZER.encode("the", 1));
  }

  @Test
  void specialTokensMustBeThere() {
    String message =
        assertThrows(IllegalArgumentException.class, () -> new WordPiece(Map.of("[UNK]", 0)))
            .getMessage();
    assertTrue(message.contains("[CLS]"), message);
    assertEquals("##sit", TOKENIZER.piece(WORDS.indexOf("##sit")));
    assertThrows(IllegalArgumentException.class, () -> TOKENIZER.piece(WORDS.size()));
  }
}
