//! Sizes of dimensions and elements of shapes: whole numbers, as far as a graph tells.
//!
//! A size is a product of a number and symbols. One symbol is the number of rows in a batch; every other
//! stands for a number that is not known. Decides when two sizes are surely equal. Does not know operators.

use std::collections::HashMap;

/// A number that is not known. Two that are equal may have different symbols; one symbol is one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Symbol(u32);

/// The number of rows in a batch.
const ROWS: Symbol = Symbol(0);

/// A product of a number and symbols.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Size {
    factor: i64,
    /// Ascending.
    symbols: Vec<Symbol>,
}

impl Size {
    /// A number that is known.
    pub(super) fn known(factor: i64) -> Self {
        Self { factor, symbols: Vec::new() }
    }

    /// The number of rows.
    pub(super) fn rows() -> Self {
        Self { factor: 1, symbols: vec![ROWS] }
    }

    /// Its value, where that is known.
    pub(super) fn value(&self) -> Option<i64> {
        self.symbols.is_empty().then_some(self.factor)
    }

    /// Whether it is surely one.
    pub(super) fn is_one(&self) -> bool {
        self.value() == Some(1)
    }

    /// Whether it is the number of rows times something that has nothing to do with it.
    pub(super) fn counts_rows(&self, symbols: &Symbols) -> bool {
        let rows = self.symbols.iter().filter(|symbol| **symbol == ROWS).count();
        rows == 1 && !self.symbols.iter().any(|symbol| *symbol != ROWS && symbols.depends[symbol.0 as usize])
    }

    /// The one symbol that it is, if it is one.
    pub(super) fn symbol(&self) -> Option<Symbol> {
        match (self.factor, &self.symbols[..]) {
            (1, [symbol]) => Some(*symbol),
            _ => None,
        }
    }

    /// The product; `None` where it is too large to be a size.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        let factor = self.factor.checked_mul(other.factor)?;
        if factor == 0 {
            return Some(Self::known(0));
        }
        let mut symbols = [&self.symbols[..], &other.symbols].concat();
        symbols.sort_unstable();
        Some(Self { factor, symbols })
    }

    /// The quotient, where the division surely leaves no rest.
    pub(super) fn over(&self, other: &Self) -> Option<Self> {
        if other.factor == 0 || self.factor % other.factor != 0 {
            return None;
        }
        let mut symbols = self.symbols.clone();
        for symbol in &other.symbols {
            let at = symbols.iter().position(|own| own == symbol)?;
            symbols.remove(at);
        }
        Some(Self { factor: self.factor / other.factor, symbols })
    }
}

/// The product of sizes; `None` where it is too large.
pub(super) fn product<'a>(sizes: impl IntoIterator<Item = &'a Size>) -> Option<Size> {
    sizes.into_iter().try_fold(Size::known(1), |product, size| product.times(size))
}

/// What can be done with two sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    /// Of whole numbers, towards zero.
    Div,
    Mod,
    Min,
    Max,
}

/// All symbols of one reading of a graph.
#[derive(Debug)]
pub(super) struct Symbols {
    /// Of each, whether it may depend on the number of rows.
    depends: Vec<bool>,
    /// Of each, whether it is surely not negative.
    natural: Vec<bool>,
    named: HashMap<String, Symbol>,
    derived: HashMap<(Arithmetic, Size, Size), Symbol>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self { depends: vec![true], natural: vec![true], named: HashMap::new(), derived: HashMap::new() }
    }
}

impl Symbols {
    /// A dimension's size of which nothing is known; `depends` says whether it may depend on the number of rows.
    pub(super) fn fresh(&mut self, depends: bool) -> Size {
        self.add(depends, true)
    }

    fn add(&mut self, depends: bool, natural: bool) -> Size {
        let symbol = Symbol(u32::try_from(self.depends.len()).unwrap_or(u32::MAX));
        self.depends.push(depends);
        self.natural.push(natural);
        Size { factor: 1, symbols: vec![symbol] }
    }

    /// Whether two numbers are surely equal or surely not; `None` where it is not known.
    pub(super) fn equal(&self, a: &Size, b: &Size) -> Option<bool> {
        let below = |n: &Size| n.value().is_some_and(|n| n < 0);
        match (a.value(), b.value()) {
            _ if a == b => Some(true),
            (Some(_), Some(_)) => Some(false),
            _ if (below(a) && self.is_natural(b)) || (below(b) && self.is_natural(a)) => Some(false),
            _ => None,
        }
    }

    fn is_natural(&self, size: &Size) -> bool {
        size.factor >= 0 && size.symbols.iter().all(|symbol| self.natural[symbol.0 as usize])
    }

    /// A number that has a name, which has nothing to do with the number of rows.
    pub(super) fn named(&mut self, name: &str) -> Size {
        if let Some(symbol) = self.named.get(name) {
            return Size { factor: 1, symbols: vec![*symbol] };
        }
        let size = self.fresh(false);
        self.named.insert(name.to_owned(), size.symbols[0]);
        size
    }

    /// The name of a symbol.
    pub(super) fn name(&self, symbol: Symbol) -> Option<&str> {
        self.named.iter().find(|(_, own)| **own == symbol).map(|(name, _)| &**name)
    }

    /// Whether a size may depend on the number of rows.
    pub(super) fn depends(&self, size: &Size) -> bool {
        size.symbols.iter().any(|symbol| self.depends[symbol.0 as usize])
    }

    /// What comes of two sizes. Equal questions have equal answers.
    pub(super) fn arithmetic(&mut self, operation: Arithmetic, a: &Size, b: &Size) -> Option<Size> {
        if let (Some(a), Some(b)) = (a.value(), b.value()) {
            return computed(operation, a, b).map(Size::known);
        }
        let exact = match operation {
            Arithmetic::Mul => return a.times(b),
            Arithmetic::Div => a.over(b),
            Arithmetic::Add | Arithmetic::Sub if b.value() == Some(0) => Some(a.clone()),
            Arithmetic::Add if a.value() == Some(0) => Some(b.clone()),
            Arithmetic::Add if a.symbols == b.symbols => a.factor.checked_add(b.factor).map(|n| a.with_factor(n)),
            Arithmetic::Sub if a.symbols == b.symbols => a.factor.checked_sub(b.factor).map(|n| a.with_factor(n)),
            Arithmetic::Min | Arithmetic::Max if a == b => Some(a.clone()),
            _ => None,
        };
        if exact.is_some() {
            return exact;
        }
        let question = (operation, a.clone(), b.clone());
        if let Some(symbol) = self.derived.get(&question) {
            return Some(Size { factor: 1, symbols: vec![*symbol] });
        }
        let natural = operation != Arithmetic::Sub && self.is_natural(a) && self.is_natural(b);
        let size = self.add(self.depends(a) || self.depends(b), natural);
        self.derived.insert(question, size.symbols[0]);
        Some(size)
    }
}

impl Size {
    fn with_factor(&self, factor: i64) -> Self {
        match factor {
            0 => Self::known(0),
            factor => Self { factor, symbols: self.symbols.clone() },
        }
    }
}

fn computed(operation: Arithmetic, a: i64, b: i64) -> Option<i64> {
    match operation {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Sub => a.checked_sub(b),
        Arithmetic::Mul => a.checked_mul(b),
        Arithmetic::Div => a.checked_div(b),
        Arithmetic::Mod => a.checked_rem_euclid(b),
        Arithmetic::Min => Some(a.min(b)),
        Arithmetic::Max => Some(a.max(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_equal_whatever_their_order_and_divide_exactly_or_not_at_all() {
        let mut symbols = Symbols::default();
        let (rows, length, twelve) = (Size::rows(), symbols.named("length"), Size::known(12));
        let whole = product([&rows, &length, &twelve]).unwrap();
        assert_eq!(whole, product([&twelve, &length, &rows]).unwrap());
        assert_eq!(whole.over(&length).unwrap(), rows.times(&twelve).unwrap());
        assert_eq!((whole.over(&Size::known(5)), rows.over(&length)), (None, None));
        assert_eq!(symbols.named("length"), length);
    }

    #[test]
    fn what_comes_of_sizes_is_known_where_it_must_be_and_else_the_same_each_time() {
        let mut symbols = Symbols::default();
        let (rows, length) = (Size::rows(), symbols.named("length"));
        let sum = symbols.arithmetic(Arithmetic::Add, &length, &Size::known(1)).unwrap();
        assert_eq!(symbols.arithmetic(Arithmetic::Add, &length, &Size::known(1)).unwrap(), sum);
        assert!(!symbols.depends(&sum) && !sum.counts_rows(&symbols));
        let most = symbols.arithmetic(Arithmetic::Max, &rows, &Size::known(1)).unwrap();
        assert!(symbols.depends(&most) && !most.counts_rows(&symbols), "it is not the number of rows times anything");
        assert_eq!(symbols.arithmetic(Arithmetic::Sub, &rows, &rows).unwrap().value(), Some(0));
        assert!(rows.times(&length).unwrap().counts_rows(&symbols));
        assert!(!rows.times(&rows).unwrap().counts_rows(&symbols));
    }
}
