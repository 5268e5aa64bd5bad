// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import java.text.Normalizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// BERT's uncased WordPiece tokenizer (Devlin et al., NAACL 2019, after Wu et al.,
/// arXiv:1609.08144).
///
/// Text is cleaned of control characters, ideographs become words of their own, accents are taken
/// off (NFD without Mn), letters lowered, punctuation split off; a word becomes its longest prefix
/// in the vocabulary, then again and again the longest `##` piece, or `[UNK]` as a whole.
///
/// The names of special tokens are not recognised inside texts: `[SEP]` in a text is punctuation
/// and a word.
public final class WordPiece {
  private static final int LONGEST_WORD = 100;
  private static final int[][] IDEOGRAPHS = {
    {0x4E00, 0x9FFF},
    {0x3400, 0x4DBF},
    {0x20000, 0x2A6DF},
    {0x2A700, 0x2B73F},
    {0x2B740, 0x2B81F},
    {0x2B820, 0x2CEAF},
    {0xF900, 0xFAFF},
    {0x2F800, 0x2FA1F}
  };

  private final Map<String, Integer> vocabulary;
  private final int unknown;
  private final int first;
  private final int last;

  /// @param vocabulary numbers by piece
  /// @throws IllegalArgumentException if `[UNK]`, `[CLS]` or `[SEP]` is missing
  public WordPiece(Map<String, Integer> vocabulary) {
    this.vocabulary = Map.copyOf(vocabulary);
    unknown = special("[UNK]");
    first = special("[CLS]");
    last = special("[SEP]");
  }

  private int special(String name) {
    Integer id = vocabulary.get(name);
    if (id == null) {
      throw new IllegalArgumentException("vocabulary must hold " + name + ", but does not");
    }
    return id;
  }

  /// The piece of a number, as the vocabulary writes it.
  ///
  /// @throws IllegalArgumentException if there is none
  public String piece(int id) {
    for (Map.Entry<String, Integer> entry : vocabulary.entrySet()) {
      if (entry.getValue() == id) {
        return entry.getKey();
      }
    }
    throw new IllegalArgumentException("id must be one of the vocabulary, but was " + id);
  }

  /// The numbers of a text, `[CLS]` first and `[SEP]` last.
  ///
  /// @param longest the largest number of tokens, at least 2; of a longer text the first pieces
  ///     are kept
  public int[] encode(String text, int longest) {
    if (longest < 2) {
      throw new IllegalArgumentException("longest must be >= 2, but was " + longest);
    }
    List<Integer> ids = new ArrayList<>();
    ids.add(first);
    for (String word : words(text)) {
      pieces(word, ids);
    }
    int kept = Math.min(ids.size(), longest - 1);
    int[] encoded = new int[kept + 1];
    Arrays.setAll(encoded, i -> i < kept ? ids.get(i) : last);
    return encoded;
  }

  private static List<String> words(String text) {
    List<String> words = new ArrayList<>();
    for (String word : cleaned(text).split(" +")) {
      StringBuilder run = new StringBuilder();
      lowered(withoutAccents(word))
          .codePoints()
          .forEach(
              c -> {
                if (isSpace(c) || isPunctuation(c)) {
                  end(words, run);
                }
                if (isPunctuation(c)) {
                  words.add(Character.toString(c));
                } else if (!isSpace(c)) {
                  run.appendCodePoint(c);
                }
              });
      end(words, run);
    }
    return words;
  }

  private static void end(List<String> words, StringBuilder run) {
    if (!run.isEmpty()) {
      words.add(run.toString());
      run.setLength(0);
    }
  }

  /// Without control characters; white space as spaces, and spaces around ideographs.
  private static String cleaned(String text) {
    StringBuilder out = new StringBuilder();
    text.codePoints()
        .forEach(
            c -> {
              if (isSpace(c)) {
                out.append(' ');
              } else if (isIdeograph(c)) {
                out.append(' ').appendCodePoint(c).append(' ');
              } else if (!isControl(c)) {
                out.appendCodePoint(c);
              }
            });
    return out.toString();
  }

  private static String withoutAccents(String word) {
    StringBuilder out = new StringBuilder();
    Normalizer.normalize(word, Normalizer.Form.NFD)
        .codePoints()
        .filter(c -> Character.getType(c) != Character.NON_SPACING_MARK)
        .forEach(out::appendCodePoint);
    return out.toString();
  }

  /// Letter by letter, so that a sigma does not depend on its place in the word.
  private static String lowered(String word) {
    StringBuilder out = new StringBuilder();
    word.codePoints().forEach(c -> out.append(Character.toString(c).toLowerCase(Locale.ROOT)));
    return out.toString();
  }

  private void pieces(String word, List<Integer> ids) {
    int[] letters = word.codePoints().toArray();
    List<Integer> found = new ArrayList<>();
    int from = 0;
    while (from < letters.length && letters.length <= LONGEST_WORD) {
      int to = letters.length;
      Integer id = null;
      while (to > from && id == null) {
        String piece = new String(letters, from, to - from);
        id = vocabulary.get(from == 0 ? piece : "##" + piece);
        to -= id == null ? 1 : 0;
      }
      if (id == null) {
        break;
      }
      found.add(id);
      from = to;
    }
    if (from < letters.length) {
      ids.add(unknown);
    } else {
      ids.addAll(found);
    }
  }

  private static boolean isSpace(int c) {
    return switch (c) {
      case '\t', '\n', '\r' -> true;
      default -> Character.isSpaceChar(c);
    };
  }

  private static boolean isControl(int c) {
    if (c == 0 || c == 0xFFFD) {
      return true;
    }
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.PRIVATE_USE,
          Character.SURROGATE,
          Character.UNASSIGNED ->
          true;
      default -> false;
    };
  }

  private static boolean isIdeograph(int c) {
    for (int[] range : IDEOGRAPHS) {
      if (c >= range[0] && c <= range[1]) {
        return true;
      }
    }
    return false;
  }

  private static boolean isPunctuation(int c) {
    boolean ascii =
        c >= 33 && c <= 47 || c >= 58 && c <= 64 || c >= 91 && c <= 96 || c >= 123 && c <= 126;
    return ascii
        || switch (Character.getType(c)) {
          case Character.CONNECTOR_PUNCTUATION,
              Character.DASH_PUNCTUATION,
              Character.START_PUNCTUATION,
              Character.END_PUNCTUATION,
              Character.INITIAL_QUOTE_PUNCTUATION,
              Character.FINAL_QUOTE_PUNCTUATION,
              Character.OTHER_PUNCTUATION ->
              true;
          default -> false;
        };
  }
}
