package inventory

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Product is a product and its stock, as the API shows it. Version is that of name and price: it does not move with the stock.
type Product struct {
	ProductID      string `json:"product_id"`
	Name           string `json:"name"`
	UnitPriceCents int64  `json:"unit_price_cents"`
	Available      int64  `json:"available"`
	Held           int64  `json:"held"`
	Sold           int64  `json:"sold"`
	Version        int64  `json:"version"`
}

// A PutProduct creates a product or changes its name and price.
type PutProduct struct {
	ProductID      string
	Name           string
	UnitPriceCents int64
	Stock          *int64 // at creation only; nil is 0
	IfMatch        *int64 // the version that must stand; nil: any, or none
}

// A Quote is what a product costs and how much of it could be held at this moment.
type Quote struct {
	Name           string
	UnitPriceCents int64
	Available      int64
}

// The attributes of a product item.
const (
	attrName      = "name"
	attrUnitPrice = "unit_price_cents"
	attrVersion   = "version"
)

// Put creates the product or changes its name and price; one that changes nothing writes nothing. fault.ValidationFailed
// names the field; fault.PreconditionFailed: IfMatch names another version, or the product does not exist; fault.ProductExists:
// stock was given for a product that exists, and not in a repeat of the very call that created it.
func (s *Service) Put(ctx context.Context, p PutProduct) (product Product, created bool, err error) {
	if err := p.check(); err != nil {
		return Product{}, false, err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		it, err := tx.Get(productKey(p.ProductID))
		if err != nil {
			return err
		}
		if created = it == nil; created {
			product, err = p.create(tx)
			return err
		}
		product, err = p.change(tx, it)
		return err
	})
	if err != nil {
		return Product{}, false, err
	}
	if created {
		s.log.LogAttrs(ctx, slog.LevelInfo, "Product created", slog.String("product_id", p.ProductID))
	}
	return product, created, nil
}

func (p *PutProduct) check() error {
	switch n := utf8.RuneCountInString(p.Name); {
	case !validID(p.ProductID):
		return invalid("product_id", "must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\"")
	case n < 1 || n > MaxNameLength || !utf8.ValidString(p.Name):
		return invalid("name", "must be 1 to "+strconv.Itoa(MaxNameLength)+" characters")
	case strings.ContainsFunc(p.Name, unicode.IsControl): // it is printed on operators' terminals
		return invalid("name", "must have no control characters")
	case p.UnitPriceCents < 1 || p.UnitPriceCents > MaxUnitPriceCents:
		return invalid("unit_price_cents", "must be from 1 to "+strconv.Itoa(MaxUnitPriceCents))
	case p.Stock != nil && (*p.Stock < 0 || *p.Stock > MaxStock):
		return invalid("stock", "must be from 0 to "+strconv.Itoa(MaxStock))
	}
	return nil
}

func (p *PutProduct) create(tx *store.Tx) (Product, error) {
	if p.IfMatch != nil {
		return Product{}, fault.New(fault.PreconditionFailed, "There is no product %s.", p.ProductID)
	}
	initial := int64(0)
	if p.Stock != nil {
		initial = *p.Stock
	}
	product, stock := p.item(1), newStock(initial)
	tx.Put(productKey(p.ProductID), product, store.Absent())
	tx.Put(stockKey(p.ProductID), stock, store.Absent())
	tx.Put(listKey(p.ProductID), store.Item{})
	return show(p.ProductID, product, stock)
}

func (p *PutProduct) change(tx *store.Tx, old store.Item) (Product, error) {
	version := old.Int(attrVersion)
	if p.IfMatch != nil && *p.IfMatch != version {
		return Product{}, fault.New(fault.PreconditionFailed, "%s is at version %d.", p.ProductID, version)
	}
	// Only for the answer, and for the initial stock, which never changes: a recorded read would tie the price to the stock.
	stock, err := tx.Peek(stockKey(p.ProductID))
	if err != nil {
		return Product{}, err
	}
	same := old.Str(attrName) == p.Name && old.Int(attrUnitPrice) == p.UnitPriceCents
	if p.Stock != nil && (!same || *p.Stock != stock.Int(attrInitial)) {
		return Product{}, fault.New(fault.ProductExists, "%s exists: stock is given at its creation only, then use restock.", p.ProductID).
			With("product_id", p.ProductID)
	}
	if same {
		return show(p.ProductID, old, stock)
	}
	young := p.item(version + 1)
	tx.Put(productKey(p.ProductID), young)
	return show(p.ProductID, young, stock)
}

func (p *PutProduct) item(version int64) store.Item {
	return store.Item{
		store.S(attrName, p.Name),
		store.N(attrUnitPrice, p.UnitPriceCents),
		store.N(attrVersion, version),
	}
}

// Get returns the product and its stock, as of now. fault.NotFound: there is none.
func (s *Service) Get(ctx context.Context, productID string) (Product, error) {
	if validID(productID) {
		products, err := s.products(ctx, []string{productID}, store.Strong)
		if err != nil {
			return Product{}, err
		}
		if len(products) == 1 {
			return products[0], nil
		}
	}
	return Product{}, fault.New(fault.NotFound, "There is no such product.")
}

// List returns up to limit products (at most store.MaxRangeLimit) whose ids come after the given one, in the order of
// their ids. It may miss the newest second.
func (s *Service) List(ctx context.Context, after string, limit int) ([]Product, error) {
	entries, err := s.store.Range(ctx, store.Query{
		Table: Table, PK: productsPK, After: after, Limit: limit, Consistency: store.Eventual,
	})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.Key.SK
	}
	return s.products(ctx, ids, store.Eventual)
}

// Quote returns what the products cost now, by id; an unknown product is absent. It reads strongly: the prices are what an
// order will be charged with, and a product that was created a moment ago is not unknown.
func (s *Service) Quote(ctx context.Context, productIDs []string) (map[string]Quote, error) {
	products, err := s.products(ctx, productIDs, store.Strong)
	if err != nil {
		return nil, err
	}
	quotes := make(map[string]Quote, len(products))
	for _, p := range products {
		quotes[p.ProductID] = Quote{Name: p.Name, UnitPriceCents: p.UnitPriceCents, Available: p.Available}
	}
	return quotes, nil
}

// products reads those that exist, in the order of their ids, as many in one call as the store gives.
func (s *Service) products(ctx context.Context, ids []string, c store.Consistency) ([]Product, error) {
	const chunk = store.MaxGetMany / 2
	products := make([]Product, 0, len(ids))
	keys := make([]store.Key, 0, 2*min(chunk, len(ids)))
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		keys = keys[:0]
		for _, id := range ids[:n] {
			keys = append(keys, productKey(id), stockKey(id))
		}
		items, err := s.store.GetMany(ctx, keys, c)
		if err != nil {
			return nil, err
		}
		for i, id := range ids[:n] {
			// The two are created in one commit; a read between them finds a product that is about to be.
			if items[2*i] == nil || items[2*i+1] == nil {
				continue
			}
			p, err := show(id, items[2*i], items[2*i+1])
			if err != nil {
				return nil, err
			}
			products = append(products, p)
		}
		ids = ids[n:]
	}
	return products, nil
}

func show(id string, product, stock store.Item) (Product, error) {
	st, err := DecodeStock(stock)
	if err != nil {
		return Product{}, err
	}
	return Product{
		ProductID:      id,
		Name:           product.Str(attrName),
		UnitPriceCents: product.Int(attrUnitPrice),
		Available:      st.Available,
		Held:           st.Held,
		Sold:           st.Sold,
		Version:        product.Int(attrVersion),
	}, nil
}
